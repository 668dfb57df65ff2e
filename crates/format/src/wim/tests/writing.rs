//! Writing, judged by our own reader: sources, order, determinism, failures.

use std::io::{Read, Seek, SeekFrom, Write};
use std::num::NonZeroUsize;

use super::*;
use crate::io::{Extent, ReadAt, Section};
use crate::wim::write::{Solid, WriteError, split};

fn bytes_of(length: usize, seed: u32) -> Arc<[u8]> {
    let mut state = seed;
    (0..length)
        .map(|index| {
            if index % 3 == 0 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            }
            (state >> 24) as u8
        })
        .collect()
}

fn image_of(blobs: &[Arc<[u8]>]) -> ImageToWrite {
    let children = blobs.iter().enumerate().map(|(index, bytes)| Dentry {
        name: format!("file {index}").as_str().into(),
        attributes: 0x20,
        data: Some(BlobId::of(bytes)),
        ..Dentry::default()
    });
    let root = Dentry { attributes: 0x10, children: children.collect(), ..Dentry::default() };
    ImageToWrite { source: ImageSource::Tree(Box::new(Metadata { root, ..Metadata::default() })), info: ImageInfo::named("test") }
}

fn plan(blobs: &[Arc<[u8]>], options: WriteOptions) -> WimPlan {
    let find = |id: &BlobId| blobs.iter().find(|bytes| BlobId::of(bytes) == *id).map(|bytes| BlobSource::Bytes(Arc::clone(bytes)));
    WimPlan::new(vec![image_of(blobs)], options, &find).unwrap()
}

fn some_blobs() -> Vec<Arc<[u8]>> {
    (1..40_u32).map(|number| bytes_of(number as usize * 977 * (1 + number as usize % 7), number)).collect()
}

fn threads(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap()
}

#[test]
fn output_does_not_depend_on_threads() {
    let blobs = some_blobs();
    for solid in [None, Some(Solid { compression: Compression::Lzms, chunk_size: 1 << 16 })] {
        let options = |count| WriteOptions { threads: threads(count), solid, ..WriteOptions::new(Some(Compression::Lzx), [2; 16]) };
        let one = write(&plan(&blobs, options(1)));
        assert!(one == write(&plan(&blobs, options(2))) && one == write(&plan(&blobs, options(5))));
        Wim::open(Arc::new(one)).unwrap().verify(&mut |_| ()).unwrap();
    }
}

#[test]
fn a_wim_can_stand_inside_another_file() {
    let blobs = some_blobs();
    for integrity in [false, true] {
        let plan = plan(&blobs, WriteOptions { integrity, ..WriteOptions::new(Some(Compression::Xpress), [2; 16]) });
        let alone = write(&plan);
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[0xee; 5000]).unwrap();
        let mut progress = Vec::new();
        let size = plan.write(&mut file, &mut |now| progress.push(now)).unwrap();
        assert_eq!(file.stream_position().unwrap(), 5000 + size);
        let last = progress.last().unwrap();
        assert_eq!((last.done, last.total), (last.total, blobs.iter().map(|bytes| bytes.len() as u64).sum()));
        let mut inside = Vec::new();
        file.seek(SeekFrom::Start(5000)).unwrap();
        file.read_to_end(&mut inside).unwrap();
        assert!(inside == alone);
        let whole: Arc<dyn ReadAt> = Arc::new(FileSource::new(file).unwrap());
        let section = Section::new(whole, [Extent { offset: Some(5000), length: size }]).unwrap();
        Wim::open(Arc::new(section)).unwrap().verify(&mut |_| ()).unwrap();
    }
}

#[test]
fn raw_copies_keep_the_stored_bytes_and_their_order() {
    let blobs = some_blobs();
    let options = WriteOptions::new(Some(Compression::Lzx), [2; 16]);
    let first = Arc::new(Wim::open(Arc::new(write(&plan(&blobs, options.clone())))).unwrap());
    let copy = plan_of(&first, false, options.clone());
    let second = write(&copy);
    assert_eq!(copy.planned_size(), Some(second.len() as u64));
    assert_eq!(second, write(&plan(&blobs, options.clone())));
    // With something new, which comes after what is copied.
    let new = bytes_of(50_000, 99);
    let mut all = vec![Arc::clone(&new)];
    all.extend(blobs);
    let resolve = |id: &BlobId| {
        let known = first.blob(id).map(|_| BlobSource::Wim(Arc::clone(&first)));
        known.or_else(|| Some(BlobSource::Bytes(Arc::clone(&new))))
    };
    let mixed = WimPlan::new(vec![image_of(&all)], options, &resolve).unwrap();
    let mixed = Wim::open(Arc::new(write(&mixed))).unwrap();
    mixed.verify(&mut |_| ()).unwrap();
    let ids = |wim: &Wim| wim.blobs().iter().map(|blob| blob.id).collect::<Vec<_>>();
    let (mixed, first) = (ids(&mixed), ids(&first));
    assert_eq!((&mixed[..first.len()], mixed[first.len()]), (&first[..], BlobId::of(&new)));
}

#[test]
fn solid_resources_are_copied_whole_or_taken_apart() {
    let blobs = some_blobs();
    let solid = Solid { compression: Compression::Lzms, chunk_size: 1 << 15 };
    let options = WriteOptions { solid: Some(solid), ..WriteOptions::new(Some(Compression::Lzms), [2; 16]) };
    let esd = Arc::new(Wim::open(Arc::new(write(&plan(&blobs, options.clone())))).unwrap());
    esd.verify(&mut |_| ()).unwrap();
    assert!(plan_of(&esd, false, options.clone()).planned_size().is_some());
    let find = |_: &BlobId| Some(BlobSource::Wim(Arc::clone(&esd)));
    let some: Vec<_> = blobs.iter().skip(3).step_by(4).cloned().collect();
    for options in [options, WriteOptions::new(Some(Compression::Xpress), [2; 16]), WriteOptions::new(None, [2; 16])] {
        let part = WimPlan::new(vec![image_of(&some)], options, &find).unwrap();
        let part = Wim::open(Arc::new(write(&part))).unwrap();
        part.verify(&mut |_| ()).unwrap();
        assert_eq!(part.blobs().len(), some.len());
        for bytes in &some {
            assert!(part.read_blob(&BlobId::of(bytes), u64::MAX).unwrap() == **bytes);
        }
    }
    // Views and visits of the solid resource.
    for bytes in &some {
        let view = BlobView::new(&esd, &BlobId::of(bytes)).unwrap();
        let mut middle = vec![0; bytes.len() / 2];
        view.read_exact_at(&mut middle, bytes.len() as u64 / 3).unwrap();
        assert!(middle == bytes[bytes.len() / 3..][..middle.len()]);
        assert!(view.read_exact_at(&mut [0; 2], view.size() - 1).is_err());
    }
    let mut visited = Vec::new();
    let ids = some.iter().map(|bytes| BlobId::of(bytes));
    esd.for_each_blob::<Error>(ids, |blob, position, bytes| {
        if position == 0 {
            visited.push((blob.id, Vec::new()));
        }
        visited.last_mut().unwrap().1.extend_from_slice(bytes);
        Ok(())
    })
    .unwrap();
    assert_eq!(visited.len(), some.len());
    assert!(visited.iter().all(|(id, bytes)| BlobId::of(bytes) == *id));
}

/// Above the size that is held back, compression that gains nothing is noticed after it has been written.
#[test]
fn large_blobs_that_do_not_shrink_are_stored_plain() {
    let noise: Arc<[u8]> = {
        let mut state = 5_u64;
        let next = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        (0..5_000_000).map(next).collect()
    };
    let shrinking: Arc<[u8]> = noise.iter().map(|byte| byte & 0x1f).collect();
    let options = || WriteOptions::new(Some(Compression::Xpress), [0; 16]);
    let wim = Wim::open(Arc::new(write(&plan(&[shrinking, Arc::clone(&noise)], options())))).unwrap();
    wim.verify(&mut |_| ()).unwrap();
    let layouts: Vec<_> = wim.blobs().iter().map(|blob| blob.resource.layout == Layout::Plain).collect();
    assert_eq!(layouts, [false, true]);
    assert!(wim.blobs()[0].resource.stored_size < 4_000_000);
    // Nothing is left behind the end, although more had been written.
    write(&plan(&[noise], WriteOptions { pipable: false, ..options() }));
}

#[test]
fn a_source_that_changed_is_named() {
    let bytes = bytes_of(100_000, 1);
    let id = BlobId::of(&bytes);
    for (claimed, length) in [(100_000, 99_999_usize), (100_000, 100_001), (99_999, 100_000)] {
        let open: write::OpenStream = Arc::new(move || Ok(Box::new(Cursor::new(bytes_of(length, 1).to_vec())) as Box<dyn Read + Send>));
        let resolve = |_: &BlobId| Some(BlobSource::Stream { size: claimed, open: Arc::clone(&open) });
        for compression in [None, Some(Compression::Xpress)] {
            let options = WriteOptions::new(compression, [0; 16]);
            let plan = WimPlan::new(vec![image_of(&[Arc::clone(&bytes)])], options, &resolve).unwrap();
            let error = plan.write(&mut Cursor::new(Vec::new()), &mut |_| ()).unwrap_err();
            assert!(matches!(error, WriteError::BlobChanged { id: named, .. } if named == id), "{error:?}");
        }
    }
    let missing = WimPlan::new(vec![image_of(&[bytes])], WriteOptions::new(None, [0; 16]), &|_| None).map(drop);
    assert!(matches!(missing, Err(WriteError::BlobUnavailable { id: named, image: 1 }) if named == id));
}

#[test]
fn what_cannot_be_written_is_refused() {
    let refused = |options: WriteOptions| matches!(WimPlan::new(Vec::new(), options, &|_| None), Err(WriteError::Options { .. }));
    let lzx = WriteOptions::new(Some(Compression::Lzx), [0; 16]);
    assert!(refused(WriteOptions { chunk_size: 4096, ..lzx.clone() }));
    assert!(refused(WriteOptions { boot_index: 1, ..lzx.clone() }));
    assert!(refused(WriteOptions { pipable: true, ..WriteOptions::solid([0; 16]) }));
    let unsplittable = plan(&some_blobs(), lzx);
    let error = split(&unsplittable, 1 << 20, &mut |_| panic!("no part is to be made"), &mut |_| ()).unwrap_err();
    assert!(matches!(error, WriteError::Split { .. }));
}

#[test]
fn an_empty_image_and_no_image_are_wims() {
    for images in [Vec::new(), vec![image_of(&[])]] {
        let count = images.len() as u32;
        let plan = WimPlan::new(images, WriteOptions::new(Some(Compression::Lzx), [0; 16]), &|_| None).unwrap();
        let wim = Wim::open(Arc::new(write(&plan))).unwrap();
        wim.verify(&mut |_| ()).unwrap();
        assert_eq!((wim.image_count(), wim.blobs().len()), (count, 0));
    }
}
