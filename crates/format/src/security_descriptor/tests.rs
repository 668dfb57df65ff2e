use super::*;
use proptest::prelude::*;
use std::path::Path;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|character| character.to_digit(16).map(|digit| digit as u8)).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// The TrustedInstaller service's SID, which owns most of a Windows image.
const TRUSTED_INSTALLER: &str = "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464";

#[test]
fn sid_text_and_bytes_of_public_examples() {
    // MS-DTYP 2.4.2.1 and the well-known list in 2.4.2.4.
    for (text, name) in [("S-1-1-0", "WD"), ("S-1-5-32-544", "BA"), ("S-1-5-18", "SY"), ("S-1-15-2-1", "AC"), ("S-1-16-12288", "HI")] {
        let sid: Sid = text.parse().unwrap();
        assert_eq!(sid.to_sddl(), name);
        assert_eq!(Sid::from_sddl(name).unwrap(), sid);
        assert_eq!(sid.to_string(), text);
    }
    assert_eq!("S-1-0x112233445566-7".parse::<Sid>().unwrap().to_string(), "S-1-0x112233445566-7");
    assert_eq!(TRUSTED_INSTALLER.parse::<Sid>().unwrap().to_sddl(), TRUSTED_INSTALLER);
    for wrong in ["", "S-1", "S-1-", "S-2-5-18", "S-1-5-+1", "S-1-5-4294967296", "S-1-5-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1", "XX"] {
        assert!(Sid::from_sddl(wrong).is_err(), "{wrong}");
    }
    let domain = Sid::from_sddl("DA").unwrap_err();
    assert!(domain.to_string().contains("write its SID"), "{domain}");
}

#[test]
fn golden_bytes_of_a_simple_descriptor() {
    // Laid out by hand from MS-DTYP 2.4.5 and 2.4.6: owner and group Administrators, full control for SYSTEM.
    let expected = hex("01000480 30000000 40000000 00000000 14000000
         02001c00 01000000  00001400 ff011f00 010100000000000512000000
         01020000000000052000000020020000
         01020000000000052000000020020000");
    let descriptor = SecurityDescriptor::from_sddl("O:BAG:BAD:(A;;FA;;;SY)").unwrap();
    assert_eq!(descriptor.encode().unwrap(), expected);
    assert_eq!(SecurityDescriptor::decode(&expected).unwrap(), descriptor);
}

#[test]
fn sddl_of_public_examples_reads_and_prints_the_same() {
    let same = [
        // learn.microsoft.com "Security descriptor string format", the example with object ACEs.
        "O:AOG:S-1-5-21-1-2-3-512D:(A;;RPWPCCDCLCSWRCWDWOGA;;;S-1-0-0)",
        "O:SYG:SYD:PAI(A;OICI;FA;;;SY)(A;OICIIO;GA;;;CO)(A;OICI;0x1200a9;;;BU)S:AI(ML;OICI;NW;;;HI)",
        "D:NO_ACCESS_CONTROL",
        "D:PNO_ACCESS_CONTROL",
        "D:",
        "O:WDD:ARAI(D;NPIOID;KR;;;AN)(A;ID;CCDCLCSWRPWPDTLOCRSDRCWDWO;;;BA)S:P(AU;SAFA;FA;;;WD)",
        "D:(OA;CIIO;RP;4c164200-20c0-11d0-a768-00aa006e0529;4828cc14-1437-45bc-9b07-ad6f015e5f28;RU)",
        "D:(OD;;CR;;;PS)(ZA;;CC;;;AU)",
        "D:(A;;SDGXGWGR;;;AU)(A;;FR;;;WD)(A;;FW;;;WD)(A;;FX;;;WD)(A;;KA;;;WD)(A;;KW;;;WD)",
        "S:(FL;TP;FR;;;WD)(SP;;;;;S-1-17-1)(TL;;FR;;;S-1-19-512-8192)",
    ];
    for text in same {
        let descriptor = SecurityDescriptor::from_sddl(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let printed = descriptor.to_sddl().unwrap();
        let again = SecurityDescriptor::from_sddl(&printed).unwrap();
        assert_eq!(again, descriptor, "{text} printed as {printed}");
        // Rights in the first example stand in another order than Windows prints them.
        if !text.contains("RPWPCC") {
            assert_eq!(printed, text);
        }
        assert_eq!(SecurityDescriptor::decode(&descriptor.encode().unwrap()).unwrap(), descriptor, "{text}");
    }
    // The SDDL of the component manifests: other order of flags, rights as a padded number.
    let manifest = format!(
        "O:{TRUSTED_INSTALLER}G:{TRUSTED_INSTALLER}D:P(A;;FA;;;{TRUSTED_INSTALLER})(A;;GRGX;;;BA)(A;;GRGX;;;SY)S:(AU;FASA;0x000D0116;;;WD)"
    );
    let descriptor = SecurityDescriptor::from_sddl(&manifest).unwrap();
    assert!(descriptor.to_sddl().unwrap().ends_with("(A;;GXGR;;;BA)(A;;GXGR;;;SY)S:(AU;SAFA;DCLCRPCRSDWDWO;;;WD)"));
}

#[test]
fn rights_names_have_the_values_of_winnt_h() {
    let mask = |rights: &str| {
        let descriptor = SecurityDescriptor::from_sddl(&format!("D:(A;;{rights};;;WD)")).unwrap();
        let AceBody::Simple { mask, .. } = descriptor.dacl.unwrap().aces.remove(0).body else { unreachable!() };
        mask
    };
    for (rights, expected) in [
        ("FA", 0x1F01FF),
        ("KX", 0x20019),
        ("GRGWGXGA", 0xF000_0000),
        ("0x1301bf", 0x1301bf),
        ("1179785", 1_179_785),
        ("010", 8),
        ("0", 0),
        ("", 0),
        ("RCSDWDWO", 0xF0000),
        ("CCDCLCSWRPWPDTLOCR", 0x1FF),
    ] {
        assert_eq!(mask(rights), expected, "{rights}");
    }
}

#[test]
fn wrong_sddl_names_its_place() {
    for (text, position) in [
        ("X:BA", 0),
        ("O:BAO:BA", 4),
        ("O:ZZ", 2),
        ("D:(A;;FA;;;SY", 13),
        ("D:(A;;FQ;;;SY)", 6),
        ("D:(A;OIQQ;FA;;;SY)", 7),
        ("D:(Q;;FA;;;SY)", 3),
        ("D:(A;;FA;;SY)", 3),
        ("D:(A;;FA;11;;SY)", 9),
        ("D:(XA;;FX;;;S-1-1-0;(@User.Project Any_of 1))", 20),
        ("D:(A;;0x1ffffffff;;;SY)", 6),
        ("D:(A;;FA;4c164200-20c0-11d0-a768-00aa006e0529;;SY)", 3),
        ("O:BA trailing", 2),
        ("S:(AU;SA;FA;;;WD))", 17),
        ("D:(A;;FA;;;DA)", 11),
    ] {
        let error = SecurityDescriptor::from_sddl(text).unwrap_err();
        assert_eq!(error.position, position, "{text}: {error}");
    }
}

#[test]
fn unknown_aces_and_conditions_survive() {
    let ace = |ace_type, body| Ace { ace_type, flags: 0, body };
    let world: Sid = "S-1-1-0".parse().unwrap();
    let condition = AceBody::Simple { mask: 1, sid: world, application_data: b"artx\x0b\0\0\0".to_vec() };
    let aces = vec![
        ace(AceType::from_code(0x42), AceBody::Raw(vec![1, 2, 3, 4])),
        ace(AceType::AccessAllowedCallback, condition),
        ace(AceType::AccessAllowed, AceBody::Raw(vec![0; 4])),
    ];
    let descriptor = SecurityDescriptor {
        control: control::SELF_RELATIVE | control::DACL_PRESENT,
        dacl: Some(Acl::new(aces)),
        ..SecurityDescriptor::default()
    };
    assert_eq!(SecurityDescriptor::decode(&descriptor.encode().unwrap()).unwrap(), descriptor);
    assert_eq!(descriptor.to_sddl(), Err(PrintError::AceType { index: 0, code: 0x42 }));
}

#[test]
fn null_and_empty_dacls_differ() {
    let null = SecurityDescriptor::from_sddl("D:NO_ACCESS_CONTROL").unwrap();
    let empty = SecurityDescriptor::from_sddl("D:").unwrap();
    assert!(null.has_null_dacl() && !empty.has_null_dacl());
    assert_ne!(null.encode().unwrap(), empty.encode().unwrap());
}

#[test]
fn oversized_lists_cannot_be_encoded() {
    let ace = Ace { ace_type: AceType::from_code(0x42), flags: 0, body: AceBody::Raw(vec![0; 60_000]) };
    let descriptor = SecurityDescriptor { dacl: Some(Acl::new(vec![ace.clone(), ace])), ..SecurityDescriptor::default() };
    assert_eq!(descriptor.encode(), Err(EncodeError::TooLarge { part: "ACL", size: 120_016 }));
}

/// Every flipped bit and every truncation of a descriptor with all shapes gives a value or an error.
#[test]
fn damaged_descriptors_never_panic() {
    let text = "O:SYG:BAD:PAI(A;OICI;FA;;;SY)(OA;;RP;4c164200-20c0-11d0-a768-00aa006e0529;;RU)S:(ML;;NW;;;HI)";
    let bytes = SecurityDescriptor::from_sddl(text).unwrap().encode().unwrap();
    for index in 0..bytes.len() {
        let _ = SecurityDescriptor::decode(&bytes[..index]);
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[index] ^= 1 << bit;
            if let Ok(descriptor) = SecurityDescriptor::decode(&damaged) {
                let again = descriptor.encode().unwrap();
                assert_eq!(
                    SecurityDescriptor::decode(&again).unwrap(),
                    SecurityDescriptor { control: descriptor.effective_control(), ..descriptor }
                );
            }
        }
    }
    for index in 0..text.len() {
        let _ = SecurityDescriptor::from_sddl(&text[..index]);
    }
}

fn security_cells(folder: &Path, found: &mut Vec<Vec<u8>>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            security_cells(&entry.path(), found);
            continue;
        }
        let bytes = std::fs::read(entry.path()).unwrap();
        if !bytes.starts_with(b"regf") {
            continue;
        }
        // Cells start at multiples of 8 with a 4-byte size; `sk` cells hold their descriptor at 20 (length at 16).
        for offset in (4100..bytes.len().saturating_sub(20)).step_by(8) {
            let cell = &bytes[offset..];
            if cell.starts_with(b"sk\0\0") && i32::from_le_bytes(bytes[offset - 4..offset].try_into().unwrap()) < 0 {
                let length = u32::from_le_bytes(cell[16..20].try_into().unwrap()) as usize;
                found.extend(cell.get(20..20 + length.min(1 << 16)).map(<[u8]>::to_vec));
            }
        }
    }
}

#[test]
fn real_descriptors_of_hives_round_trip() {
    let Some(folder) = wimwright_testkit::test_data("hives") else { return };
    let mut found = Vec::new();
    security_cells(&folder, &mut found);
    assert!(found.len() > 200, "{}", found.len());
    let (mut same_bytes, mut damaged) = (0, 0);
    for bytes in &found {
        let Ok(descriptor) = SecurityDescriptor::decode(bytes) else {
            damaged += 1;
            continue;
        };
        let encoded = descriptor.encode().unwrap();
        same_bytes += usize::from(encoded == *bytes);
        assert_eq!(SecurityDescriptor::decode(&encoded).unwrap(), descriptor);
        let text = descriptor.to_sddl().unwrap();
        let reread = SecurityDescriptor::from_sddl(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(reread.to_sddl().unwrap(), text);
    }
    // The rest have unused space in an ACL, which we do not write.
    assert!(same_bytes * 3 > found.len() * 2, "{same_bytes} of {} encode to the same bytes", found.len());
    assert!(damaged <= 3, "{damaged}: the test hives that are damaged on purpose");
}

fn any_sid() -> impl Strategy<Value = Sid> {
    (0_u64..1 << 48, prop::collection::vec(any::<u32>(), 0..=15)).prop_map(|(authority, rest)| Sid::new(authority, rest).unwrap())
}

fn any_ace() -> impl Strategy<Value = Ace> {
    let guid = || prop::option::of(any::<[u8; 16]>().prop_map(Guid));
    let data = || prop::collection::vec(any::<[u8; 4]>(), 0..4).prop_map(|words| words.concat());
    (any::<u8>(), any::<u8>(), any::<u32>(), any_sid(), guid(), guid(), data()).prop_map(
        |(code, flags, mask, sid, object_type, inherited_object_type, application_data)| {
            let ace_type = AceType::from_code(code % 0x18);
            let body = match ace_type.shape() {
                ace::Shape::Simple => AceBody::Simple { mask, sid, application_data },
                ace::Shape::Object => AceBody::Object { mask, object_type, inherited_object_type, sid, application_data },
                ace::Shape::Unknown => AceBody::Raw(application_data),
            };
            Ace { ace_type, flags, body }
        },
    )
}

fn any_descriptor() -> impl Strategy<Value = SecurityDescriptor> {
    let acl = || prop::option::of(prop::collection::vec(any_ace(), 0..6).prop_map(Acl::new));
    (any::<u16>(), any::<u8>(), prop::option::of(any_sid()), prop::option::of(any_sid()), acl(), acl()).prop_map(
        |(control, resource_manager_control, owner, group, sacl, dacl)| {
            let descriptor = SecurityDescriptor { control, resource_manager_control, owner, group, sacl, dacl };
            SecurityDescriptor { control: descriptor.effective_control(), ..descriptor }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn binary_round_trip(descriptor in any_descriptor()) {
        let bytes = descriptor.encode().unwrap();
        prop_assert_eq!(SecurityDescriptor::decode(&bytes).unwrap(), descriptor);
    }

    #[test]
    fn sddl_round_trip(descriptor in any_descriptor()) {
        // What SDDL has no words for is set to what it reads as.
        let plain = |acl: Acl| {
            let aces = acl.aces.into_iter().filter(|ace| !ace.ace_type.sddl().is_empty()).map(|mut ace| {
                if let AceBody::Simple { application_data, .. } | AceBody::Object { application_data, .. } = &mut ace.body {
                    application_data.clear();
                }
                ace
            });
            Acl::new(aces.collect())
        };
        let sayable = DACL_AND_SACL_BITS & descriptor.control | control::SELF_RELATIVE;
        let descriptor = SecurityDescriptor {
            control: sayable,
            resource_manager_control: 0,
            sacl: descriptor.sacl.map(plain),
            dacl: descriptor.dacl.map(plain),
            ..descriptor
        };
        // Flags of an ACL that is not there are not printed.
        let present = |bit| if descriptor.control & bit == 0 { 0 } else { u16::MAX };
        let kept = DACL_BITS & present(control::DACL_PRESENT) | SACL_BITS & present(control::SACL_PRESENT) | control::SELF_RELATIVE;
        let descriptor = SecurityDescriptor { control: descriptor.control & kept, ..descriptor };
        let text = descriptor.to_sddl().unwrap();
        prop_assert_eq!(SecurityDescriptor::from_sddl(&text).unwrap(), descriptor, "{}", text);
    }

    #[test]
    fn any_text_is_a_value_or_an_error(text in "[OGDS:();A-Z0-9x -]{0,60}") {
        let _ = SecurityDescriptor::from_sddl(&text);
    }
}

const DACL_BITS: u16 = control::DACL_PRESENT | control::DACL_AUTO_INHERIT_REQUIRED | control::DACL_AUTO_INHERITED | control::DACL_PROTECTED;
const SACL_BITS: u16 = control::SACL_PRESENT | control::SACL_AUTO_INHERIT_REQUIRED | control::SACL_AUTO_INHERITED | control::SACL_PROTECTED;
const DACL_AND_SACL_BITS: u16 = DACL_BITS | SACL_BITS;
