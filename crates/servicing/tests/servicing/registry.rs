//! The step `registry`.

use wimwright_format::reg_file::Change;
use wimwright_format::regf::Data;
use wimwright_image::registry::HiveFile;
use wimwright_servicing::registry::Registry;
use wimwright_servicing::step::Step;

use crate::windows::{apply, effect, ignores_time, refused, windows};

fn set(path: &str, name: &str, data: &Data) -> Change {
    let (kind, data) = data.encode();
    Change::SetValue { path: path.into(), name: name.into(), kind, data }
}

#[test]
fn keys_and_values_in_every_hive() {
    let step = Registry {
        changes: vec![
            set(r"HKEY_LOCAL_MACHINE\SOFTWARE\Contoso\Agent", "Server", &Data::Text("srv01".into())),
            set(r"HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion", "editionid", &Data::Text("Enterprise".into())),
            set(r"HKLM\SYSTEM\CurrentControlSet\Control", "WaitToKillServiceTimeout", &Data::Text("5000".into())),
            set(r"HKLM\SYSTEM\CurrentControlSet\Services\Contoso", "Start", &Data::Dword(2)),
            set(r"HKEY_CURRENT_USER\Software\Contoso", "", &Data::Texts(vec!["a".into(), "b".into()])),
            Change::CreateKey { path: r"HKCU\Software\Empty".into() },
        ],
    };
    insta::assert_snapshot!(effect(&step, &windows()), @r#"
    ~ /Users/Default/NTUSER.DAT
        contents
        written: 1 -> 2
    ~ /Windows/System32/config/SOFTWARE
        contents
        written: 1 -> 2
    ~ /Windows/System32/config/SYSTEM
        contents
        written: 1 -> 2
    + HKLM\SOFTWARE\Contoso
    + HKLM\SOFTWARE\Contoso\Agent
    + HKLM\SOFTWARE\Contoso\Agent!Server
    + HKLM\SYSTEM\ControlSet001\Services
    + HKLM\SYSTEM\ControlSet001\Services\Contoso
    + HKLM\SYSTEM\ControlSet001\Services\Contoso!Start
    + HKCU\Software
    + HKCU\Software\Contoso
    + HKCU\Software\Contoso!
    + HKCU\Software\Empty
    ~ HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion!EditionID: "Professional" -> "Enterprise"
    report (Exact):
      HKLM\SOFTWARE: 2 keys created, 2 values set (0 had that value), 0 values and 0 keys deleted
      HKLM\SYSTEM: 2 keys created, 2 values set (1 had that value), 0 values and 0 keys deleted
      HKCU: 3 keys created, 1 values set (0 had that value), 0 values and 0 keys deleted
    "#);
}

#[test]
fn deleting_what_is_there_and_what_is_not() {
    let step = Registry {
        changes: vec![
            Change::DeleteValue { path: r"HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion".into(), name: "EditionID".into() },
            Change::DeleteValue { path: r"HKLM\SOFTWARE\None".into(), name: "x".into() },
            Change::DeleteKey { path: r"HKLM\SYSTEM\CurrentControlSet\Control".into() },
            Change::DeleteKey { path: r"HKLM\SYSTEM\None".into() },
        ],
    };
    insta::assert_snapshot!(effect(&step, &windows()), @r"
    ~ /Windows/System32/config/SOFTWARE
        contents
        written: 1 -> 2
    ~ /Windows/System32/config/SYSTEM
        contents
        written: 1 -> 2
    - HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion!EditionID
    - HKLM\SYSTEM\ControlSet001\Control
    - HKLM\SYSTEM\ControlSet001\Control!WaitToKillServiceTimeout
    report (Exact):
      HKLM\SOFTWARE: 0 keys created, 0 values set (0 had that value), 1 values and 0 keys deleted
      HKLM\SYSTEM: 0 keys created, 0 values set (0 had that value), 0 values and 1 keys deleted
    ");
}

#[test]
fn the_order_of_the_changes_counts() {
    let path = r"HKLM\SOFTWARE\Contoso";
    let change = |name: &str| set(path, name, &Data::Dword(1));
    let kept = Registry { changes: vec![Change::DeleteKey { path: path.into() }, change("a")] };
    let lost = Registry { changes: vec![change("a"), Change::DeleteKey { path: path.into() }] };
    let has_key = |step: &Registry| apply(step, &windows()).hive(HiveFile::Software).unwrap().unwrap().open("Contoso").unwrap().is_some();
    assert!(has_key(&kept));
    assert!(!has_key(&lost));
    assert_ne!(kept.options(), lost.options());
}

#[test]
fn what_cannot_be_done_is_an_error() {
    let one = |change| Registry { changes: vec![change] };
    let mut image = windows();
    image.tree.remove(&crate::windows::path_of("/Users/Default/NTUSER.DAT")).unwrap();
    let messages = [
        refused(&one(set(r"HKCU\Software", "x", &Data::Dword(1))), &image),
        refused(&one(set(r"HKXX\Software", "x", &Data::Dword(1))), &image),
        refused(&one(set(r"HKLM\Nothing", "x", &Data::Dword(1))), &image),
        refused(&one(Change::DeleteKey { path: r"HKLM\SOFTWARE".into() }), &image),
    ];
    insta::assert_snapshot!(messages.join("\n"), @r"
    the image has no registry hive (`/Users/Default/NTUSER.DAT`)
    `HKXX\Software`: an image has no registry root `HKXX`; use HKLM, HKCR, HKCU or HKU
    `HKLM\Nothing` names no hive: an image has HKLM\SOFTWARE, HKLM\SYSTEM, HKLM\COMPONENTS, HKLM\DRIVERS, HKLM\SAM, HKLM\SECURITY, HKLM\BCD00000000
    `HKLM\SOFTWARE` cannot be changed
    ");
}

#[test]
fn it_writes_time() {
    let step = Registry { changes: vec![set(r"HKLM\SOFTWARE\Contoso", "x", &Data::Dword(1))] };
    assert!(step.writes_time());
    assert!(!ignores_time(&step, &windows()));
}

#[test]
fn logs_of_a_changed_hive_are_emptied() {
    let mut image = windows();
    crate::windows::put(&mut image, "/Windows/System32/config/SOFTWARE.LOG1", b"");
    crate::windows::put(&mut image, "/Windows/System32/config/SOFTWARE.LOG2", &[0; 512]);
    let step = Registry { changes: vec![set(r"HKLM\SOFTWARE\Contoso", "x", &Data::Dword(1))] };
    let after = apply(&step, &image);
    let size = |name: &str| after.tree.at(&format!("/Windows/System32/config/{name}")).unwrap().inode().contents;
    assert_eq!((size("SOFTWARE.LOG1"), size("SOFTWARE.LOG2")), (None, None));
}

#[test]
fn a_value_that_is_there_already_changes_nothing() {
    let step = Registry {
        changes: vec![set(r"HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion", "EditionID", &Data::Text("Professional".into()))],
    };
    insta::assert_snapshot!(effect(&step, &windows()), @r"
    report (Exact):
      HKLM\SOFTWARE: 0 keys created, 1 values set (1 had that value), 0 values and 0 keys deleted
    ");
}
