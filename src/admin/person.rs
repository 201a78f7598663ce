//! Owns who somebody is to the operators' interface: a name and what it may do. Never looks at a token or a certificate.

use std::str::FromStr;

/// Somebody known. Everybody known may read what only known people are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The name in the tokens file, as history and audit log show it.
    pub name: String,
    /// What else it may do.
    pub roles: Roles,
}

/// What somebody known may do beside reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Roles {
    /// Fetch feeds, and nothing else: no reading of what others read either. For firewalls, whose configuration many people see.
    pub feeds_only: bool,
    /// Reload, roll back, pin and unpin.
    pub operator: bool,
    /// Hand in an approval. Apart from [`Self::operator`], so that the two-person rule can be two people.
    pub approver: bool,
}

/// One thing that needs a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Hands in approvals.
    Approver,
    /// Fetches feeds.
    Feeds,
    /// Changes what is in force.
    Operator,
    /// Reads.
    Viewer,
}

impl Role {
    /// The word in the tokens file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approver => "approver",
            Self::Feeds => "feeds",
            Self::Operator => "operator",
            Self::Viewer => "viewer",
        }
    }
}

impl Roles {
    /// Both: a line without a role means what it meant before there were roles.
    pub const ALL: Self = Self { feeds_only: false, operator: true, approver: true };

    /// Whether `role` is among them.
    pub fn hold(self, role: Role) -> bool {
        match role {
            Role::Approver => self.approver,
            Role::Operator => self.operator,
            Role::Feeds => true,
            Role::Viewer => !self.feeds_only,
        }
    }

    /// The words, for people.
    pub fn words(self) -> Vec<&'static str> {
        let all = [Role::Viewer, Role::Operator, Role::Approver];
        if self.feeds_only {
            return vec![Role::Feeds.as_str()];
        }
        all.into_iter().filter(|role| self.hold(*role)).map(Role::as_str).collect()
    }
}

impl FromStr for Roles {
    type Err = &'static str;

    /// `viewer`, `operator`, `approver`, or more than one with commas; or `feeds` alone.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut roles = Self::default();
        if text == "feeds" {
            return Ok(Self { feeds_only: true, ..roles });
        }
        for word in text.split(',') {
            match word {
                "approver" => roles.approver = true,
                "operator" => roles.operator = true,
                "viewer" => {}
                "feeds" => return Err("feeds stands alone: whoever holds another role may fetch them too"),
                _ => return Err("use viewer, operator, approver, or more than one with commas; or feeds"),
            }
        }
        Ok(roles)
    }
}
