//! Owns the words of a report: each in English and French, side by side, so that neither can be forgotten. Never a number's or a day's form.

use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::language::Language;
use crate::report::habit::Rule;
use crate::report::summary::{Event, Lost, Suspect};

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident = $english:literal, $french:literal;)*) => {
        /// The words that stand alone.
        #[derive(Debug)]
        pub struct Words { $($(#[$doc])* pub $name: &'static str,)* }

        const ENGLISH: Words = Words { $($name: $english,)* };
        const FRENCH: Words = Words { $($name: $french,)* };
    };
}

words! {
    /// The title of a report.
    title = "Use of prohibited applications", "Usage d’applications interdites";
    /// The title of the list of devices.
    title_devices = "Devices on which a prohibited application is very likely installed", "Appareils où une application interdite est très probablement installée";
    /// What stands before the time of making.
    made = "Produced on", "Produit le";
    /// What stands before the zone.
    zone = "times in", "heures de";
    /// Compared with.
    compared_with = "Compared with", "Comparé à";
    /// Sums.
    summary = "In brief", "En bref";
    /// Blocked queries.
    blocked = "Blocked queries", "Requêtes bloquées";
    /// Devices.
    devices = "Devices", "Appareils";
    /// Newly seen.
    newly_seen = "Newly seen", "Nouveaux";
    /// Shadow.
    shadow = "Would have been blocked", "Auraient été bloquées";
    /// Permitted.
    permitted = "Let through", "Autorisées";
    /// The period.
    this_period = "This period", "Période visée";
    /// The period before.
    before = "Before", "Avant";
    /// The change.
    change = "Change", "Écart";
    /// By part.
    by_part = "Blocked, by application, instrument and group", "Blocages par application, instrument et groupe";
    /// By shadow part.
    by_shadow = "Rehearsed: what would have been blocked", "À l’essai : ce qui aurait été bloqué";
    /// App.
    app = "Application", "Application";
    /// Instrument.
    instrument = "Instrument", "Instrument";
    /// Authority.
    authority = "Authority", "Autorité";
    /// In force from.
    in_force = "In force since", "En vigueur depuis";
    /// Group.
    group = "Group", "Groupe";
    /// Groups.
    groups = "Groups", "Groupes";
    /// Queries.
    queries = "Queries", "Requêtes";
    /// First.
    first = "First", "Première";
    /// Last.
    last = "Last", "Dernière";
    /// Acts.
    acts = "The acts", "Les textes";
    /// Citation.
    citation = "Citation", "Référence";
    /// List.
    list = "List", "Liste";
    /// Trend.
    by_day = "Day by day", "Jour par jour";
    /// Day.
    day = "Day", "Jour";
    /// Most blocked.
    most_blocked = "Devices blocked most", "Appareils les plus souvent bloqués";
    /// Device.
    device = "Device", "Appareil";
    /// Apps.
    apps = "Applications", "Applications";
    /// Exceptions.
    exceptions = "Exceptions used", "Exceptions utilisées";
    /// Exception.
    exception = "Exception", "Exception";
    /// Generations.
    generations = "Policies in force", "Politiques en vigueur";
    /// Generation.
    generation = "Generation", "Génération";
    /// Digest.
    digest = "Digest", "Empreinte";
    /// Since.
    since = "Since", "Depuis";
    /// Until.
    until = "Until", "Jusqu’au";
    /// Completeness.
    completeness = "What is missing", "Ce qui manque";
    /// Nothing missing.
    complete = "Nothing: no record was lost in this period.", "Rien : aucun enregistrement n’a été perdu pendant cette période.";
    /// Privacy.
    privacy = "Privacy", "Vie privée";
    /// The rule.
    rule = "The rule", "La règle";
    /// Nothing.
    none = "None.", "Aucun.";
    /// Date not verified.
    unverified = "date not verified", "date non vérifiée";
    /// Without an act.
    no_act = "no legal act", "aucun texte";
    /// A passthru rule.
    passthru = "rule of a list", "règle d’une liste";
    /// Words that are gone.
    unknown = "unknown", "inconnu";
    /// Days.
    days = "Days", "Jours";
    /// Hours a day.
    hours_a_day = "Hours a day", "Heures par jour";
    /// Evidence.
    signs = "Names that the application asks for by itself", "Noms que l’application demande d’elle-même";
    /// Rhythm.
    rhythm = "Usual pause", "Pause habituelle";
    /// Caution.
    caution = "A sign, no proof: an address may stand for several devices, and a product of another maker may have the same code in it. Look at the device before acting.",
        "C’est un indice, pas une preuve : une adresse peut désigner plusieurs appareils, et le produit d’un autre fabricant peut contenir le même code. Il faut examiner l’appareil avant d’agir.";
    /// Habits that are not noted.
    not_noted = "The habits of devices are not recorded: that needs `clients = \"full\"` and `devices = true` under [report].",
        "Les habitudes des appareils ne sont pas relevées : il faut pour cela `clients = \"full\"` et `devices = true` sous [report].";
    /// Clients whole.
    clients_full = "Devices are shown by address, or by the name on their certificate.", "Les appareils sont désignés par leur adresse ou par le nom de leur certificat.";
    /// Clients by network.
    clients_prefix = "Devices are shown by network (/24 or /56): what is counted as a device is a network.", "Les appareils sont désignés par leur réseau (/24 ou /56) : chaque réseau compte pour un appareil.";
    /// Clients by digest.
    clients_hmac = "Devices are shown by a digest whose key lives for one day: a device counts once each day, and nobody can be identified.",
        "Les appareils sont désignés par une empreinte dont la clé ne dure qu’un jour : chaque appareil compte une fois par jour, et personne n’est identifiable.";
    /// No clients.
    clients_none = "Devices are not recorded.", "Les appareils ne sont pas enregistrés.";
}

/// The words of a language.
pub fn speak(language: Language) -> &'static Words {
    language.choose(&ENGLISH, &FRENCH)
}

impl Words {
    /// What a way of keeping clients means.
    pub fn clients(&self, kept: &str) -> &'static str {
        match kept {
            "full" => self.clients_full,
            "prefix" => self.clients_prefix,
            "hmac" => self.clients_hmac,
            _ => self.clients_none,
        }
    }
}

/// How many devices asked for an app's names and do not meet the rule.
pub fn unsure_of(language: Language, devices: u64) -> String {
    let unsure = language.number(devices);
    language.choose(
        format!("Devices that asked for such names and do not meet the rule: {unsure}."),
        format!("Appareils qui ont demandé de tels noms sans répondre à la règle : {unsure}."),
    )
}

/// What is missing, a sentence each; empty when nothing is.
pub fn sentences_of_loss(language: Language, lost: &Lost, events: &[Event], zone: &TimeZone) -> Vec<String> {
    let mut out = Vec::new();
    let number = |number| language.number(number);
    if lost.queue > 0 {
        let count = number(lost.queue);
        out.push(language.choose(
            format!("At most {count} queries are not counted: more came at a time than could be noted."),
            format!("Jusqu’à {count} requêtes ne sont pas comptées : il en est venu plus à la fois qu’on ne pouvait en noter."),
        ));
    }
    if lost.disk > 0 {
        let count = number(lost.disk);
        out.push(language.choose(
            format!("{count} queries are not counted: the store could not be written."),
            format!("{count} requêtes ne sont pas comptées : le registre ne pouvait pas être écrit."),
        ));
    }
    if lost.room > 0 {
        let count = number(lost.room);
        out.push(language.choose(
            format!("{count} queries are counted, but not attributed to a device: too many devices came at a time."),
            format!("{count} requêtes sont comptées sans être attribuées à un appareil : il en est venu trop à la fois."),
        ));
    }
    for gap in &lost.gaps {
        let (from, until) = (language.minute(gap.from, zone), language.minute(gap.until, zone));
        out.push(language.choose(
            format!("Nothing was recorded from {from} to {until}."),
            format!("Rien n’a été enregistré du {from} au {until}."),
        ));
    }
    for event in events {
        let (at, detail) = (language.minute(event.at, zone), &event.detail);
        out.push(match event.what.as_str() {
            "damaged" => language.choose(
                format!("On {at} the store was found damaged; it was set aside as {detail}, and a new one begun."),
                format!("Le {at}, le registre a été trouvé endommagé ; il a été mis de côté sous {detail}, et un nouveau a été commencé."),
            ),
            "full" => language.choose(
                format!("On {at} the day {detail} was removed for want of room."),
                format!("Le {at}, la journée du {detail} a été supprimée faute de place."),
            ),
            "clock" => language.choose(
                format!("On {at} the server’s clock was set by {detail}."),
                format!("Le {at}, l’horloge du serveur a été déplacée de {detail}."),
            ),
            other => format!("{at}: {other} {detail}"),
        });
    }
    out
}

/// The rule by which an app is said to be installed.
pub fn rule_of(language: Language, rule: Rule) -> String {
    let Rule { days, hours, kinds, regular, pauses } = rule;
    let share = language.percent(u64::from(regular));
    language.choose(
        format!(
            "A device is listed when, on at least {days} days of the period, it asked in each of at least {hours} hours in a row for at least {kinds} different \
             names that the application asks for by itself in the background, and when at least {share} of its pauses (of {pauses} or more) were of one length or \
             the next. Visits to a site, links and embedded players do not ask for these names."
        ),
        format!(
            "Un appareil figure ici lorsque, pendant au moins {days} jours de la période, il a demandé, à chacune d’au moins {hours} heures consécutives, au moins \
             {kinds} des noms que l’application demande d’elle-même en arrière-plan, et qu’au moins {share} de ses pauses ({pauses} ou plus) avaient une même durée ou la \
             suivante. La visite d’un site, un lien ou un lecteur intégré ne demandent pas ces noms."
        ),
    )
}

/// A usual pause, and how regular pauses are.
pub(super) fn when_of(language: Language, suspect: &Suspect) -> String {
    let share = language.percent(u64::from(suspect.regular));
    let pause = match suspect.pause {
        Some((from, Some(to))) if from <= 2 => {
            language.choose(format!("under {to} min"), format!("moins de {to} min"))
        }
        Some((from, Some(to))) => {
            language.choose(format!("{from} to {to} min"), format!("de {from} à {to} min"))
        }
        Some((from, None)) => language.choose(format!("over {from} min"), format!("plus de {from} min")),
        None => "–".to_owned(),
    };
    format!("{pause} ({share})")
}

/// How an exception is called.
pub(super) fn exemption<'e>(words: &Words, exception: &'e str) -> &'e str {
    if exception.is_empty() { words.passthru } else { exception }
}

/// When an act came into force, as far as that is sure.
pub fn in_force(language: Language, from: Option<Date>, verified: bool) -> String {
    match from {
        Some(from) if verified => language.day(from),
        Some(from) => format!("{} ({})", language.day(from), speak(language).unverified),
        None => "–".to_owned(),
    }
}

/// An app, an act or a list by its title or id.
pub fn named<'n>(language: Language, title: &'n str, id: &'n str) -> &'n str {
    match (title, id) {
        ("", "") => speak(language).unknown,
        ("", "none") => "–",
        ("", id) => id,
        (title, _) => title,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_said_in_both_languages_with_its_number() {
        let lost = Lost { queue: 1234, disk: 2, room: 3, ..Lost::default() };
        for (language, number) in [(Language::En, "1,234"), (Language::Fr, "1\u{202f}234")] {
            let said = sentences_of_loss(language, &lost, &[], &TimeZone::UTC);
            assert_eq!(said.len(), 3);
            assert!(said[0].contains(number), "{said:?}");
        }
        assert!(sentences_of_loss(Language::En, &Lost::default(), &[], &TimeZone::UTC).is_empty());
    }
}
