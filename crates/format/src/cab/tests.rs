use super::*;
#[test]
fn probe() {
    let root = wimwright_testkit::test_data("msu_cab").unwrap();
    for folder in ["cabextract", "libarchive", "libmspack", "wix", "gcab", "pebakery", ".", "onecore-arm64/Cityman"] {
        let mut paths: Vec<_> = std::fs::read_dir(root.join(folder)).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_file()).collect();
        paths.sort();
        for path in paths {
            let source = Arc::new(std::fs::read(&path).unwrap());
            let verdict = match Cabinet::open(source) {
                Err(error) => format!("OPEN {error:?}"),
                Ok(cabinet) => {
                    let mut count = 0;
                    match cabinet.for_each_member(
                        |_| true,
                        |_, reader| {
                            reader.read_all()?;
                            count += 1;
                            Ok::<_, CabError>(())
                        },
                    ) {
                        Ok(()) => format!("ok {count} trailing {:?}", cabinet.trailing_bytes()),
                        Err(error) => format!("READ after {count}: {error:?}"),
                    }
                }
            };
            println!("{folder}/{}: {verdict}", path.file_name().unwrap().to_str().unwrap());
        }
    }
}
