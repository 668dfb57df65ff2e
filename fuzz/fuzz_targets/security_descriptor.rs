#![no_main]
//! Any bytes as a self-relative descriptor, any text as SDDL: a value or an error, and values survive a round trip.
use libfuzzer_sys::fuzz_target;
use wimwright_format::security_descriptor::SecurityDescriptor;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(descriptor) = SecurityDescriptor::decode(bytes)
        && let Ok(encoded) = descriptor.encode()
    {
        assert_eq!(SecurityDescriptor::decode(&encoded).as_ref(), Ok(&descriptor));
    }
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(descriptor) = SecurityDescriptor::from_sddl(text)
        && let Ok(printed) = descriptor.to_sddl()
    {
        assert_eq!(SecurityDescriptor::from_sddl(&printed).as_ref(), Ok(&descriptor));
    }
});
