//! Our own rules held against images.

use wimwright_format::regf::ValueKind;
use wimwright_image::ImagePath;
use wimwright_image::registry::HiveFile;
use wimwright_servicing::cbs::step::Packages;
use wimwright_servicing::cbs::verify::{Difference, Verification, verify};
use wimwright_servicing::step::{Context, Step};

use super::real::{OPENSSH_20348, dictionary_payload, parents, payload};
use super::*;

fn verified(image: &Image) -> Verification {
    let mut image = fresh(image);
    let store = Store::read(&mut image, dictionary()).unwrap();
    verify(&mut image, &store, &|_, _| ()).unwrap()
}

#[test]
fn real_packages_as_installed_have_nothing_that_differs() {
    let (Some(sources), Some(update)) = (real_packages(&[OPENSSH_20348]), payload(OPENSSH_20348)) else { return };
    let image = image_with("amd64", [10, 0, 20348, 1], &parents(&sources[0]));
    assert_eq!(verified(&image).differences, []);
    let step = Packages { updates: vec![update], dictionary: dictionary_payload(), ..Packages::default() };
    let (mut after, _) = step.apply(image, &Context { time: NOW }).unwrap();
    let verification = verified(&after);
    assert_eq!(verification.differences, []);
    assert!(verification.files >= 10 && verification.values > 50, "{verification:?}");

    // Each kind of change is found, and nothing else: how a service starts is anybody's to change.
    let path = |text: &str| ImagePath::parse(text).unwrap();
    after.tree.remove(&path("/Windows/System32/OpenSSH/scp.exe")).unwrap();
    let inode = after.tree.at("/Windows/System32/OpenSSH/sshd.exe").unwrap().inode().clone();
    after.tree.put_file(&path("/Windows/System32/OpenSSH/sshd.exe"), inode).unwrap();
    after
        .edit_hive(HiveFile::System, |hive| {
            let failed = |source| wimwright_image::ImageError::hive_edit(HiveFile::System, "", source);
            let key = hive.open(r"ControlSet001\Services\sshd").map_err(failed)?.unwrap();
            hive.set_value(key, "Start", ValueKind::DWORD, &2_u32.to_le_bytes(), NOW).map_err(failed)?;
            hive.set_value(key, "Type", ValueKind::DWORD, &0x20_u32.to_le_bytes(), NOW).map_err(failed)?;
            hive.delete_value(key, "ObjectName", NOW).map_err(failed)?;
            Ok::<_, wimwright_image::ImageError>(())
        })
        .unwrap();
    after.commit(NOW).unwrap();
    let found: Vec<_> = verified(&after).differences.into_iter().map(|found| (found.difference, found.place)).collect();
    assert_eq!(
        found,
        [
            (Difference::FileMissing, r"\Windows\System32\OpenSSH\scp.exe".to_owned()),
            (Difference::FileNotLinked, r"\Windows\System32\OpenSSH\sshd.exe".to_owned()),
            (Difference::ValueMissing, r"HKLM\SYSTEM\CurrentControlSet\Services\sshd!ObjectName".to_owned()),
            (Difference::ValueDiffers, r"HKLM\SYSTEM\CurrentControlSet\Services\sshd!Type".to_owned()),
        ]
    );
}
