//! Whom a fault befalls.

use serde::{Deserialize, Deserializer, de};

/// One edge, or all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Which {
    /// One that is drawn.
    #[default]
    Drawn,
    /// This one, from 0.
    One(u32),
    /// Each of them, at the same time.
    All,
}

/// Where an edge's link leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// To the origin.
    #[default]
    Origin,
    /// To the shared tier.
    SharedTier,
    /// To all clients.
    Clients,
}

impl Link {
    /// As a file has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Origin => "origin",
            Self::SharedTier => "shared_tier",
            Self::Clients => "clients",
        }
    }
}

/// Which way a link is cut, seen from the edge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Both ways.
    #[default]
    Both,
    /// What the edge sends is lost.
    Out,
    /// What is sent to the edge is lost.
    In,
}

impl Direction {
    /// As a file has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Both => "both",
            Self::Out => "out",
            Self::In => "in",
        }
    }
}

impl<'de> Deserialize<'de> for Which {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match (text.as_str(), text.parse()) {
            ("all", _) => Ok(Self::All),
            (_, Ok(edge)) => Ok(Self::One(edge)),
            (_, Err(_)) => {
                Err(de::Error::custom(format_args!("`{text}` is no edge: it is a number from 0, or `all`")))
            }
        }
    }
}
