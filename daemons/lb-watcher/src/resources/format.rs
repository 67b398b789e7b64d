//! Whether a text is what its readers expect, as far as the syntax goes.

use convoy_confd::resource::Format;
use serde::de::IgnoredAny;

/// Refuses what a parser of the format would refuse.
pub(super) fn check(format: Format, bytes: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    match format {
        Format::Json => serde_json::from_str::<IgnoredAny>(text).map(drop).map_err(|error| error.to_string()),
        Format::Toml => {
            toml::from_str::<toml::Table>(text).map(drop).map_err(|error| error.message().to_owned())
        }
        Format::Yaml => {
            serde_saphyr::from_str::<IgnoredAny>(text).map(drop).map_err(|error| error.to_string())
        }
        Format::Xml => xml(text),
    }
}

fn xml(text: &str) -> Result<(), String> {
    let mut reader = quick_xml::Reader::from_str(text);
    let mut roots = 0;
    let mut depth = 0usize;
    loop {
        use quick_xml::events::Event;
        match reader.read_event() {
            Ok(Event::Start(_)) => {
                roots += usize::from(depth == 0);
                depth += 1;
            }
            Ok(Event::Empty(_)) => roots += usize::from(depth == 0),
            Ok(Event::End(_)) => depth = depth.saturating_sub(1),
            Ok(Event::Eof) if depth > 0 => return Err("it ends inside an element".to_owned()),
            Ok(Event::Eof) if roots != 1 => return Err(format!("it has {roots} root elements")),
            Ok(Event::Eof) => return Ok(()),
            Ok(_) => {}
            Err(error) => return Err(format!("at byte {}: {error}", reader.error_position())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_takes_its_own_and_refuses_what_is_cut_off() {
        for (format, good, bad) in [
            (Format::Json, "{\"a\": [1]}", "{\"a\": [1}"),
            (Format::Toml, "a = [1]\n", "a = [1\n"),
            (Format::Yaml, "a: [1]\n", "a: [1\n"),
            (Format::Xml, "<?xml version=\"1.0\"?><a><b/></a>", "<a><b></a>"),
            (Format::Xml, "<a/>", "<a/><b/>"),
            (Format::Xml, "<a>x</a>\n", "<a>"),
        ] {
            assert_eq!(check(format, good.as_bytes()), Ok(()), "{format}");
            assert!(check(format, bad.as_bytes()).is_err(), "{format}: {bad}");
        }
        assert!(check(Format::Json, &[0xff]).is_err());
    }
}
