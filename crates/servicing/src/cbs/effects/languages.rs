//! Languages of the user interface.
//!
//! The `languagePack` element of a language pack names its language and those that stand in for it. Windows lists the languages
//! that it has in `Control\MUI\UILanguages`: for a full language `LCID` and `Type` = 0x111 (two real SYSTEM hives, and a public
//! script that makes the key for another language). For a partial language there are also its stand-ins; only one public
//! listing shows them, so that these are deferred.

use wimwright_format::manifest::OtherElement;
use wimwright_format::regf::Data;

use super::{Context, EffectError, Effects, ValueEffect};

const LANGUAGES: &str = r"HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Control\MUI\UILanguages";
/// `Type` of a full language.
const FULL: u32 = 0x111;

/// Identifiers of the languages that Windows has language packs for (MS-LCID 2.2).
const IDENTIFIERS: &[(&str, u32)] = &[
    ("ar-SA", 0x0401),
    ("bg-BG", 0x0402),
    ("cs-CZ", 0x0405),
    ("da-DK", 0x0406),
    ("de-DE", 0x0407),
    ("el-GR", 0x0408),
    ("en-GB", 0x0809),
    ("en-US", 0x0409),
    ("es-ES", 0x0c0a),
    ("es-MX", 0x080a),
    ("et-EE", 0x0425),
    ("fi-FI", 0x040b),
    ("fr-CA", 0x0c0c),
    ("fr-FR", 0x040c),
    ("he-IL", 0x040d),
    ("hr-HR", 0x041a),
    ("hu-HU", 0x040e),
    ("it-IT", 0x0410),
    ("ja-JP", 0x0411),
    ("ko-KR", 0x0412),
    ("lt-LT", 0x0427),
    ("lv-LV", 0x0426),
    ("nb-NO", 0x0414),
    ("nl-NL", 0x0413),
    ("pl-PL", 0x0415),
    ("pt-BR", 0x0416),
    ("pt-PT", 0x0816),
    ("ro-RO", 0x0418),
    ("ru-RU", 0x0419),
    ("sk-SK", 0x041b),
    ("sl-SI", 0x0424),
    ("sr-Latn-RS", 0x241a),
    ("sv-SE", 0x041d),
    ("th-TH", 0x041e),
    ("tr-TR", 0x041f),
    ("uk-UA", 0x0422),
    ("zh-CN", 0x0804),
    ("zh-TW", 0x0404),
];

/// The language of a full language pack, as Windows spells it, and its identifier. `None` for partial and unknown languages.
fn full_language(element: &OtherElement) -> Option<(&'static str, u32)> {
    let document = wimwright_format::xml::parse(&element.xml).ok()?;
    let sequence = document.descendants().find(|node| node.tag_name().name() == "sequence")?;
    if !sequence.attribute("type")?.eq_ignore_ascii_case("full") {
        return None;
    }
    let language = sequence.attribute("value")?.split(';').next()?.trim();
    IDENTIFIERS.iter().find(|(name, _)| name.eq_ignore_ascii_case(language)).copied()
}

impl Context<'_> {
    /// Registers the language of a `languagePack` element; false when what to write is not known.
    pub(super) fn add_language(&self, element: &OtherElement, effects: &mut Effects) -> Result<bool, EffectError> {
        let Some((name, identifier)) = full_language(element) else { return Ok(false) };
        let number = |name, number| ValueEffect::set(name, &Data::Dword(number));
        let values = vec![number("LCID", identifier), number("Type", FULL)];
        effects.registry.push(self.key(&format!(r"{LANGUAGES}\{name}"), true, values)?);
        Ok(true)
    }
}
