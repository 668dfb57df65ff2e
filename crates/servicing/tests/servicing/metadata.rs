//! The step `metadata`.

use wimwright_servicing::metadata::Metadata;
use wimwright_servicing::step::Step;

use crate::windows::{apply, effect, ignores_time, refused, windows};

#[test]
fn fields_are_set_and_removed() {
    let step = Metadata {
        fields: vec![
            ("NAME".into(), "Contoso".into()),
            ("WINDOWS/EDITIONID".into(), "Enterprise".into()),
            ("FLAGS".into(), String::new()),
            ("NONE".into(), String::new()),
        ],
    };
    insta::assert_snapshot!(effect(&step, &windows()), @r"
    ~ XML data
    report (Exact):
      NAME changed from `Windows 11 Pro` to `Contoso`
      WINDOWS/EDITIONID set to `Enterprise`
      FLAGS removed, it was `Professional`
      NONE was not there
    ");
    let after = apply(&step, &windows());
    assert_eq!(after.info.get("NAME").as_deref(), Some("Contoso"));
    assert_eq!(after.info.get("WINDOWS/EDITIONID").as_deref(), Some("Enterprise"));
    assert_eq!(after.info.get("WINDOWS/LANGUAGES/DEFAULT").as_deref(), Some("en-US"));
    let nested = Metadata { fields: vec![("WINDOWS/ARCH".into(), String::new())] };
    insta::assert_snapshot!(refused(&nested, &windows()), @r"
    `WINDOWS/ARCH` cannot be removed: it belongs to what Windows Setup reads as a whole
    hint: set it to another text
    ");
    assert_eq!(after.info.get("FLAGS"), None);
    assert!(!step.writes_time());
    assert!(ignores_time(&step, &windows()));
}
