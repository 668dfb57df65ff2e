//! Firewall rules: one text value each, in the grammar of MS-GPFAS 2.2.2.19.
//!
//! `v<version>|<field>=<value>|…|`. The order of the fields and their spelling is that of 923 rules of two real SYSTEM hives,
//! which agree (tests). The version is the lowest that has all fields of the rule, marked in their names by Windows itself
//! (`LPort2_10`, `TTK2_27`): later Windows reads earlier versions, and real hives hold rules of version 2.0 beside those of
//! their own. Windows' installer writes its own version: the one known difference.

use wimwright_format::manifest::component::FirewallRule;
use wimwright_format::regf::Data;

use super::{Context, EffectError, Effects, ValueEffect};

const SHARED_ACCESS: &str = r"HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Services\SharedAccess";
/// Below it: the rules, and those that "restore default policy" brings back. In two real SYSTEM hives every rule of Windows
/// stands in both, with few that differ.
const POLICIES: [&str; 2] = ["Parameters", "Defaults"];

/// All fields that are written, in their order, with the minor number of the first version 2 that has them.
const FIELDS: &[(&str, u32)] = &[
    ("Action", 0),
    ("Active", 0),
    ("Dir", 0),
    ("Protocol", 0),
    ("Profile", 0),
    ("LPort", 0),
    ("LPort2_10", 10),
    ("LPort2_20", 20),
    ("LPort2_24", 24),
    ("ICMP4", 0),
    ("ICMP6", 0),
    ("RPort", 0),
    ("RPort2_10", 10),
    ("LA4", 0),
    ("LA6", 0),
    ("RA42", 20),
    ("RA4", 0),
    ("RA62", 20),
    ("RA6", 0),
    ("App", 0),
    ("Svc", 0),
    ("Name", 0),
    ("Desc", 0),
    ("LUAuth", 20),
    ("EmbedCtxt", 0),
    ("TTK", 20),
    ("TTK2_27", 27),
    ("TTK2_28", 28),
    ("TTK2_22", 22),
    ("Edge", 0),
    ("Defer", 10),
];

/// Words of attributes with the field's spelling: attribute, word, field, value.
const WORDS: &[(&str, &str, &str, &str)] = &[
    ("action", "allow", "Action", "Allow"),
    ("action", "block", "Action", "Block"),
    ("action", "bypass", "Action", "ByPass"),
    ("dir", "in", "Dir", "In"),
    ("dir", "out", "Dir", "Out"),
    ("active", "true", "Active", "TRUE"),
    ("active", "yes", "Active", "TRUE"),
    ("active", "false", "Active", "FALSE"),
    ("active", "no", "Active", "FALSE"),
    ("edge", "true", "Edge", "TRUE"),
    ("edge", "yes", "Edge", "TRUE"),
    ("edge", "false", "", ""),
    ("edge", "no", "", ""),
    ("edgedefer", "app", "Defer", "App"),
    ("edgedefer", "user", "Defer", "User"),
    ("protocol", "tcp", "Protocol", "6"),
    ("protocol", "udp", "Protocol", "17"),
    ("protocol", "icmpv4", "Protocol", "1"),
    ("protocol", "icmpv6", "Protocol", "58"),
    ("protocol", "any", "", ""),
    ("profile", "domain", "Profile", "Domain"),
    ("profile", "private", "Profile", "Private"),
    ("profile", "public", "Profile", "Public"),
    ("profile", "all", "", ""),
    ("lport", "rpc", "LPort", "RPC"),
    ("lport", "rpc-epmap", "LPort", "RPC-EPMap"),
    ("lport", "teredo", "LPort", "Teredo"),
    ("lport", "iptlsin", "LPort2_10", "IPTLSIn"),
    ("lport", "iphttpsin", "LPort2_10", "IPHTTPSIn"),
    ("lport", "ply2disc", "LPort2_20", "Ply2Disc"),
    ("lport", "mdns", "LPort2_24", "mDNS"),
    ("rport", "iptlsout", "RPort2_10", "IPTLSOut"),
    ("rport", "iphttpsout", "RPort2_10", "IPHTTPSOut"),
    ("ra4", "localsubnet", "RA4", "LocalSubnet"),
    ("ra4", "ply2renders", "RA42", "Ply2Renders"),
    ("ra6", "localsubnet", "RA6", "LocalSubnet"),
    ("ra6", "ply2renders", "RA62", "Ply2Renders"),
    ("ttk", "proxsharing", "TTK", "ProxSharing"),
    ("ttk", "wfdprint", "TTK2_22", "WFDPrint"),
    ("ttk", "wfddisplay", "TTK2_22", "WFDDisplay"),
    ("ttk", "wfddevices", "TTK2_22", "WFDDevices"),
    ("ttk", "wfdkmdriver", "TTK2_27", "WFDKmDriver"),
    ("ttk", "upnp", "TTK2_27", "UPnP"),
    ("ttk", "wfdcdpsvc", "TTK2_28", "WFDCDPSvc"),
];

/// Attributes whose text is taken as it is, with their fields.
const TEXTS: &[(&str, &str)] =
    &[("binary", "App"), ("svc", "Svc"), ("name", "Name"), ("desc", "Desc"), ("group", "EmbedCtxt"), ("luauth", "LUAuth")];

impl Context<'_> {
    pub(super) fn add_firewall_rules(&self, effects: &mut Effects) -> Result<(), EffectError> {
        for rule in &self.component.firewall_rules {
            let name = rule.get("internalName").filter(|name| !name.is_empty());
            let name = name.ok_or_else(|| self.unknown("the internalName of a firewallRule", ""))?;
            let value = ValueEffect::set(name, &Data::Text(self.firewall_rule(rule)?));
            for policy in POLICIES {
                let key = format!(r"{SHARED_ACCESS}\{policy}\FirewallPolicy\FirewallRules");
                effects.registry.push(self.key(&key, false, vec![value.clone()])?);
            }
        }
        Ok(())
    }

    /// The text of a rule.
    pub(super) fn firewall_rule(&self, rule: &FirewallRule) -> Result<String, EffectError> {
        let mut fields: Vec<(usize, String)> = Vec::new();
        for (attribute, text) in rule.attributes.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("internalName")) {
            let attribute = attribute.to_ascii_lowercase();
            for (field, value) in self.firewall_fields(&attribute, text)? {
                if let Some(place) = FIELDS.iter().position(|(known, _)| *known == field) {
                    fields.push((place, value));
                }
            }
        }
        for (attribute, field) in [("action", "Action"), ("active", "Active"), ("dir", "Dir")] {
            if !fields.iter().any(|(place, _)| FIELDS.get(*place).is_some_and(|(known, _)| *known == field)) {
                return Err(self.unknown(format!("{attribute} of a firewallRule"), rule.get(attribute).unwrap_or_default()));
            }
        }
        fields.sort_by_key(|(place, _)| *place);
        let known = |place: &usize| FIELDS.get(*place).copied().unwrap_or_default();
        let minor = fields.iter().map(|(place, _)| known(place).1).max().unwrap_or_default();
        let fields: String = fields.iter().map(|(place, value)| format!("{}={value}|", known(place).0)).collect();
        Ok(format!("v2.{minor}|{fields}"))
    }

    /// The fields that an attribute (in lower case) gives.
    fn firewall_fields(&self, attribute: &str, text: &str) -> Result<Vec<(&'static str, String)>, EffectError> {
        let unknown = |value: &str| self.unknown(format!("{attribute} of a firewallRule"), value);
        if let Some((_, field)) = TEXTS.iter().find(|(known, _)| *known == attribute) {
            let text = self.text(text)?;
            return if text.contains(['|', '\0']) { Err(unknown(&text)) } else { Ok(vec![(*field, text)]) };
        }
        let mut fields = Vec::new();
        for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            let word = WORDS.iter().find(|(of, word, ..)| *of == attribute && word.eq_ignore_ascii_case(item));
            match word {
                Some((_, _, "", _)) => {}
                Some((_, _, field, value)) => fields.push((*field, (*value).to_owned())),
                None => fields.push((literal_field(attribute, item).ok_or_else(|| unknown(item))?, item.to_owned())),
            }
        }
        // Windows lists profiles in the order of their bits: Domain, Private, Public, which is that of the alphabet. For all three it
        // writes none.
        if attribute == "profile" {
            fields.sort();
            fields.dedup();
            if fields.len() == 3 {
                fields.clear();
            }
        }
        Ok(fields)
    }
}

/// The field for a number, a range, an address or a pair of ICMP type and code; `None` when the item is none.
fn literal_field(attribute: &str, item: &str) -> Option<&'static str> {
    let port = |text: &str| text.parse::<u16>().is_ok();
    let is_range = || item.split_once('-').is_some_and(|(first, last)| port(first) && port(last));
    let is_icmp = || {
        let byte = |text: &str| text.parse::<u8>().is_ok();
        item.split_once(':').is_some_and(|(kind, code)| byte(kind) && (byte(code) || code == "*"))
    };
    let is_address =
        |separator| item.contains(separator) && item.chars().all(|c| c.is_ascii_hexdigit() || matches!(c, '.' | ':' | '/' | '-'));
    match attribute {
        "protocol" => item.parse::<u8>().is_ok().then_some("Protocol"),
        "lport" if port(item) => Some("LPort"),
        "lport" => is_range().then_some("LPort2_10"),
        "rport" if port(item) => Some("RPort"),
        "rport" => is_range().then_some("RPort2_10"),
        "icmp4" => is_icmp().then_some("ICMP4"),
        "icmp6" => is_icmp().then_some("ICMP6"),
        "la4" => is_address('.').then_some("LA4"),
        "ra4" => is_address('.').then_some("RA4"),
        "la6" => is_address(':').then_some("LA6"),
        "ra6" => is_address(':').then_some("RA6"),
        _ => None,
    }
}
