//! Owns the words of the pages: each in English and French, side by side, so that neither can be forgotten. Never a number's or a day's form.

use crate::report::render::Language;

macro_rules! words {
    ($($name:ident = $english:literal, $french:literal;)*) => {
        /// The words of the pages.
        #[derive(Debug)]
        pub(super) struct Words { $(pub(super) $name: &'static str,)* }

        static ENGLISH: Words = Words { $($name: $english,)* };
        static FRENCH: Words = Words { $($name: $french,)* };
    };
}

words! {
    accept_shrink = "Let lists lose or gain more than the guard allows", "Laisser les listes perdre ou gagner plus que la garde ne le permet";
    action = "Action", "Action";
    address = "Address in the answer", "Adresse dans la réponse";
    advice = "advice", "recommandation";
    all = "all", "tous";
    allowed = "Allowed", "Autorisée";
    answers = "Answer times", "Temps de réponse";
    answered_by = "Answered by", "Provenance";
    answers_block = "blocked by policy", "bloquée par la politique";
    answers_half = "Half within", "La moitié en";
    answers_hit = "from the cache", "tirée du cache";
    answers_miss = "asked upstream", "demandée en amont";
    answers_most = "99 of 100 within", "99 sur 100 en";
    answers_path = "How the answer came", "Provenance de la réponse";
    app = "App", "Application";
    approval_missing = "Approvals given", "Approbations données";
    approve = "Hand in an approval", "Remettre une approbation";
    approve_how = "Sign the candidate with minisign, as `interdict approve` shows, and paste the signature file here.", "Signez la candidate avec minisign, comme le montre `interdict approve`, puis collez ici le fichier de signature.";
    apps = "Apps", "Applications";
    audit = "Audit log", "Journal d’audit";
    authority = "Authority", "Autorité";
    ban = "ban", "interdiction";
    begins = "Begins", "Début";
    blocked = "Blocked", "Bloquée";
    blocked_by_app = "Blocked queries by app", "Requêtes bloquées par application";
    blocked_rate = "Blocked a second", "Bloquées par seconde";
    blocked_day = "Blocked in 24 hours", "Bloquées en 24 heures";
    by = "By", "Par";
    cache_share = "Answered from the cache", "Réponses tirées du cache";
    cause = "Cause", "Cause";
    chart_table = "The same as a table", "Le même en tableau";
    citation = "Citation", "Référence";
    client = "Client", "Client";
    client_address = "Client’s address", "Adresse du client";
    clients = "Clients", "Clients";
    clients_other = "all others", "tous les autres";
    colon = ": ", "\u{a0}: ";
    coming = "coming", "à venir";
    considered = "Rules that were met", "Règles rencontrées";
    core_names = "Names", "Noms";
    degraded = "To be looked at", "À surveiller";
    detail = "Detail", "Détail";
    devices = "Devices that very likely have an app", "Appareils qui ont très probablement une application";
    difference = "What changes", "Ce qui change";
    difference_between = "Compare two generations", "Comparer deux générations";
    difference_none = "Nothing that decides a query differs.", "Rien de ce qui décide d’une requête ne diffère.";
    digest = "Digest", "Empreinte";
    download = "Download", "Télécharger";
    ended = "ended", "terminé";
    ends_soon = "ends soon", "se termine bientôt";
    enforces = "Enforces", "Applique";
    enforced_for = "Enforced for", "Appliqué pour";
    exception = "Exception", "Exception";
    exceptions = "Exceptions", "Exceptions";
    exceptions_none = "No exception is in force or to come.", "Aucune exception n’est en vigueur ni à venir.";
    explain = "Explain", "Expliquer";
    explain_what = "What a name or an address gets, and why.", "Ce qu’obtient un nom ou une adresse, et pourquoi.";
    failures = "Failures a minute", "Échecs par minute";
    failing = "failing", "en échec";
    filter = "Filter", "Filtrer";
    from = "From", "De";
    from_day = "From the day", "À partir du jour";
    generation = "Generation", "Génération";
    generation_in_force = "Generation in force", "Génération en vigueur";
    generations = "Generations", "Générations";
    generations_none = "No generation is kept: there is no state directory.", "Aucune génération n’est conservée : il n’y a pas de répertoire d’état.";
    go_back = "Back to the generations", "Retour aux générations";
    group = "Group", "Groupe";
    groups = "Groups", "Groupes";
    health = "Health", "État";
    healthy = "answers", "répond";
    held = "Held by", "Retenue par";
    held_back = "Held back", "Changement retenu";
    held_back_what = "A reload was compiled and is not published:", "Un rechargement a été compilé et n’est pas publié :";
    highest = "Highest:", "Maximum :";
    hour = "last hour", "dernière heure";
    day = "last 24 hours", "24 dernières heures";
    identifier = "Id", "Identifiant";
    impact = "Impact on the last day", "Effet sur les dernières 24 heures";
    impact_what = "Queries of the last day that the change would newly block or unblock.", "Requêtes des dernières 24 heures que le changement bloquerait ou débloquerait.";
    in_force = "in force", "en vigueur";
    in_force_since = "In force since", "En vigueur depuis";
    instrument = "Instrument", "Instrument";
    instruments = "Instruments", "Instruments";
    instruments_what = "Legal acts by their dates, the latest first.", "Actes juridiques selon leurs dates, du plus récent au plus ancien.";
    kept_none = "No records are kept: there is no query log and no report.", "Aucun enregistrement n’est conservé : ni journal des requêtes ni rapport.";
    last_day = "24 hours", "24 heures";
    last_hour = "Hour", "Heure";
    last_minute = "Minute", "Minute";
    latency = "Mean answer", "Réponse moyenne";
    listed = "Listed name", "Nom inscrit";
    list = "List", "Liste";
    log = "Query log", "Journal des requêtes";
    log_broken = "These files could not be read, or not to their end.", "Ces fichiers n’ont pas pu être lus, ou pas jusqu’à la fin.";
    log_cut = "There was no time for what is not later than", "Le temps a manqué pour ce qui n’est pas postérieur à";
    log_cut_hint = "Go on with what is older, or ask about fewer days.", "Poursuivez avec ce qui est plus ancien, ou restreignez la recherche à moins de jours.";
    log_gone = "Files that were taken away meanwhile", "Fichiers retirés entre-temps";
    log_in = "Log in", "Se connecter";
    log_in_first = "Log in to see this: it shows what people asked.", "Connectez-vous pour voir ceci : on y voit ce que des personnes ont demandé.";
    log_in_what = "Use a token of the file that [admin] tokens names.", "Utilisez un jeton du fichier que nomme [admin] tokens.";
    log_in_wrong = "This token is not known.", "Ce jeton n’est pas connu.";
    log_in_wait = "Too many attempts. Wait five minutes.", "Trop de tentatives. Attendez cinq minutes.";
    log_out = "Log out", "Se déconnecter";
    logged_in = "Logged in as", "Connecté en tant que";
    log_looked = "Lines looked at", "Lignes parcourues";
    log_networks = "Clients are shown, and found, by their networks.", "Les clients sont affichés, et trouvés, par leur réseau.";
    log_refused = "Lines in another format", "Lignes dans un autre format";
    log_unread = "There was no time to look into all of the log.", "Le temps a manqué pour parcourir tout le journal.";
    log_what = "What was asked, by whom, and what was said. Who searches for what is written down.", "Ce qui a été demandé, par qui, et ce qui a été répondu. Qui cherche quoi est consigné.";
    look = "Search", "Rechercher";
    mode = "Mode", "Mode";
    month = "Month", "Mois";
    name = "Name", "Nom";
    name_server = "Name server of its zone", "Serveur de noms de sa zone";
    names_all = "Names", "Noms";
    networks = "Networks", "Réseaux";
    newer = "Newer", "Plus récentes";
    newly_blocked = "Newly blocked", "Nouvellement bloquées";
    next_change = "Next change by date", "Prochain changement par date";
    none = "None.", "Aucun.";
    no_app = "Own lists", "Listes propres";
    origin_cache = "cache", "cache";
    origin_policy = "policy", "politique";
    origin_resolver = "this resolver", "ce résolveur";
    origin_stale = "cache, past its time", "cache (réponse périmée)";
    origin_upstream = "upstream", "serveur en amont";
    others = "Other acts of the catalog, which no group enforces", "Autres actes du catalogue, qu’aucun groupe n’applique";
    not_allowed = "Your role does not allow that.", "Votre rôle ne le permet pas.";
    now = "Now", "Maintenant";
    nothing_asked = "Nothing was blocked in this time.", "Rien n’a été bloqué pendant ce temps.";
    older = "Older", "Plus anciennes";
    on_day = "On the day", "Le jour";
    optional = "optional", "facultatif";
    other = "Other apps", "Autres applications";
    outcome = "Outcome", "Résultat";
    pages = "Pages", "Pages";
    policy = "Policy", "Politique";
    pages_of = "Parts of the list", "Parties de la liste";
    pause = "Pause updates", "Suspendre les mises à jour";
    permitted = "Permitted", "Permise";
    pin = "Pin", "Épingler";
    pinned = "held", "retenue";
    preview = "Preview a reload", "Prévisualiser un rechargement";
    preview_what = "Reads every input now, as a reload would, and publishes nothing.", "Lit maintenant toutes les entrées, comme un rechargement, sans rien publier.";
    printable = "Report that prints", "Rapport à imprimer";
    problems = "What is wrong", "Ce qui ne va pas";
    queries = "Queries", "Requêtes";
    queries_total = "Queries since the start", "Requêtes depuis le démarrage";
    rate = "Queries a second", "Requêtes par seconde";
    reach = "Reaches", "Étendue";
    reason = "Reason", "Motif";
    recent = "Recent queries", "Requêtes récentes";
    recent_more = "The same in the kept log", "Les mêmes requêtes dans le journal conservé";
    recent_none = "Nothing fits.", "Rien ne correspond.";
    reference = "Reference on a block page", "Référence d’une page de blocage";
    refused = "Refused", "Refusée";
    rejected = "Rejected; the generation in force keeps deciding.", "Rejeté ; la génération en vigueur continue de décider.";
    reload = "Reload", "Recharger";
    reload_what = "Reads every input again and publishes what they make.", "Relit toutes les entrées et publie ce qu’elles donnent.";
    reply = "Reply", "Réponse";
    reports = "Devices and reports", "Appareils et rapports";
    resume = "Resume updates", "Reprendre les mises à jour";
    role_needed = "needs the role", "exige le rôle";
    roll_back = "Roll back", "Revenir";
    rule = "Rule", "Règle";
    rules = "Rules", "Règles";
    rules_after = "rules after", "règles après";
    rules_before = "rules before", "règles avant";
    sequence = "Entry", "Entrée";
    shadow = "Shadow", "À l’essai";
    shared_names = "Shared names", "Noms partagés";
    show = "Show", "Afficher";
    sign_in_again = "Sign in again", "Se connecter de nouveau";
    sign_in_at = "Sign in at", "Se connecter auprès de";
    sign_in_denied = "The provider did not let you in.", "Le fournisseur d’identité a refusé la connexion.";
    sign_in_failed = "Signing in failed", "La connexion a échoué";
    sign_in_on = "Go on", "Continuer";
    sign_in_or = "With a token", "Avec un jeton";
    sign_in_provider = "The provider that people sign in at does not answer as it should. Tokens and certificates still work, and names are resolved as ever.", "Le fournisseur d’identité ne répond pas comme il le devrait. Les jetons et les certificats fonctionnent toujours, et la résolution des noms continue.";
    sign_in_refused = "What the provider sent is not to be believed.", "Ce que le fournisseur d’identité a envoyé n’est pas fiable.";
    sign_in_role = "You are known to the provider, and have no role here.", "Le fournisseur d’identité vous connaît, mais vous n’avez aucun rôle ici.";
    sign_in_stale = "This answer is too old, was used before, or belongs to another browser.", "Cette réponse est trop ancienne, a déjà servi ou appartient à un autre navigateur.";
    signature = "Signature", "Signature";
    skip = "Skip to content", "Aller au contenu";
    sources = "Sources", "Sources";
    sources_none = "No list beside the catalog is configured.", "Aucune liste n’est configurée hormis le catalogue.";
    source = "Source", "Source";
    source_next = "Next fetch", "Prochaine lecture";
    source_age = "Last confirmed", "Dernière confirmation";
    source_good = "current", "à jour";
    source_old = "last good content", "dernier contenu valable";
    standing = "Standing", "Portée";
    status = "Status", "État";
    this_day = "Day", "Jour";
    time = "Time", "Heure";
    time_zone = "Times are of the zone", "Les heures sont celles du fuseau";
    times_used = "queries", "requêtes";
    to = "to", "à";
    to_day = "To the day", "Jusqu’au jour";
    token = "Token", "Jeton";
    top = "Most asked in 24 hours", "Le plus demandé en 24 heures";
    top_blocked = "Blocked names", "Noms bloqués";
    top_clients = "Clients", "Clients";
    top_clients_none = "Nothing is kept of clients: `clients` under [last_day].", "Rien n’est conservé des clients : `clients` sous [last_day].";
    top_names = "Names", "Noms";
    top_none = "What was asked is not kept: `names` under [last_day].", "Ce qui a été demandé n’est pas conservé : `names` sous [last_day].";
    transport = "Transport", "Transport";
    type_of_record = "Record type", "Type d’enregistrement";
    unblocked = "Unblocked", "Débloquées";
    unhealthy = "does not answer", "ne répond pas";
    unpin = "Unpin", "Désépingler";
    until = "Until", "Jusqu’à";
    upstream = "Upstream", "Serveur en amont";
    upstreams = "Upstreams", "Serveurs en amont";
    upstreams_none = "No upstream was asked yet.", "Aucun serveur en amont n’a encore été interrogé.";
    verdict = "Verdict", "Verdict";
    unverified = "date not checked", "date non vérifiée";
    waited = "Waited", "Attente";
    waiting = "Waits for approval", "En attente d’approbation";
    warnings = "Warnings", "Avertissements";
    what_changed = "Changed", "Changements";
    what = "What", "Quoi";
    who = "Who", "Qui";
}

impl Words {
    /// Where an answer is from, where no upstream is to be named.
    pub(super) fn origin<'w>(&'w self, origin: &'w str) -> &'w str {
        match origin {
            "cache" => self.origin_cache,
            "policy" => self.origin_policy,
            "resolver" => self.origin_resolver,
            "stale" => self.origin_stale,
            "upstream" => self.origin_upstream,
            other => other,
        }
    }

    /// What the policy said, as people say it.
    pub(super) fn said<'w>(&'w self, verdict: &'w str) -> &'w str {
        match verdict {
            "blocked" | "block" => self.blocked,
            "permitted" | "permit" => self.permitted,
            "shadow" => self.shadow,
            "refused" => self.refused,
            "allowed" | "allow" => self.allowed,
            other => other,
        }
    }
}

/// The words of a language.
pub(super) fn speak(language: Language) -> &'static Words {
    language.choose(&ENGLISH, &FRENCH)
}
