//! Owns the lists that proxies and browsers load: names for Squid, a proxy auto-configuration. Never decides.

use super::entry::Entry;
use super::format::Lines;
use crate::policy::Reach;

/// `.name` for a name and all below it, `name` for it alone.
pub(super) fn squid(entry: Entry<'_>, lines: &mut Lines) -> bool {
    let name = entry.name;
    match entry.reach {
        Reach::Subtree => lines.line(format_args!(".{name}")),
        Reach::Exact => lines.line(format_args!("{name}")),
        Reach::Below | Reach::NameServer | Reach::NameServersBelow => return false,
    }
    true
}

/// A name of the table that [`framed_pac`] looks things up in: bit 1 the name itself, bit 2 what is below it; 4 and 8 where these pass.
pub(super) fn pac(entry: Entry<'_>, lines: &mut Lines) -> bool {
    let bits = match entry.reach {
        Reach::Exact => 1,
        Reach::Below => 2,
        Reach::Subtree => 3,
        Reach::NameServer | Reach::NameServersBelow => return false,
    };
    let shift = if entry.passes { 2 } else { 0 };
    lines.line(format_args!("say(\"{}\", {});", entry.name, bits << shift));
    true
}

/// A proxy auto-configuration: what is blocked is sent to a proxy that is not there (port 9 discards), all else goes straight.
pub(super) fn framed_pac(body: &str) -> String {
    format!(
        "var said = {{}};\nfunction say(name, bits) {{ said[\"=\" + name] = (said[\"=\" + name] || 0) | bits; }}\n{body}\
         function FindProxyForURL(url, host) {{\n\
         \u{20} host = host.toLowerCase().replace(/\\.$/, \"\");\n\
         \u{20} var bits = said[\"=\" + host] || 0;\n\
         \u{20} if (bits & 1) return \"PROXY 127.0.0.1:9\";\n\
         \u{20} if (bits & 4) return \"DIRECT\";\n\
         \u{20} for (var at = host.indexOf(\".\"); at >= 0; at = host.indexOf(\".\", at + 1)) {{\n\
         \u{20}   bits = said[\"=\" + host.substring(at + 1)] || 0;\n\
         \u{20}   if (bits & 2) return \"PROXY 127.0.0.1:9\";\n\
         \u{20}   if (bits & 8) return \"DIRECT\";\n\
         \u{20} }}\n\
         \u{20} return \"DIRECT\";\n}}\n"
    )
}
