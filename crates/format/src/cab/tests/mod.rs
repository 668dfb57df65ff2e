//! Tests of the cabinet reader and writer.

mod edge_cases;
mod oracle;
mod robustness;
mod writer;

use std::collections::BTreeMap;

use super::*;

/// Every member with its bytes, read in one pass.
fn read_all(cabinet: &Cabinet) -> Result<BTreeMap<String, Vec<u8>>, CabError> {
    let mut members = BTreeMap::new();
    cabinet.for_each_member(
        |_| true,
        |member, reader| {
            let bytes = reader.read_all()?;
            assert_eq!(bytes.len() as u64, member.length, "{}", member.name);
            members.insert(member.name.clone(), bytes);
            Ok::<_, CabError>(())
        },
    )?;
    assert_eq!(members.len(), cabinet.members().len());
    Ok(members)
}

fn open(bytes: Vec<u8>) -> Result<Cabinet, CabError> {
    Cabinet::open(Arc::new(bytes))
}
