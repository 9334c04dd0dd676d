//! Fields of answers that are sentences.

use serde::{Serializer, ser::SerializeMap};

use super::types::Sentence;

/// The suffix of the member with the code, beside the text.
pub(super) const SAID: &str = "Said";

/// A field of an answer that is a sentence, or a list of them.
pub(crate) trait Says {
    /// Writes two members: the text, and the code with its parameters.
    fn write<M: SerializeMap>(
        &self,
        name: &'static str,
        said: &'static str,
        map: &mut M,
    ) -> Result<(), M::Error>;
}

impl Says for Sentence {
    fn write<M: SerializeMap>(
        &self,
        name: &'static str,
        said: &'static str,
        map: &mut M,
    ) -> Result<(), M::Error> {
        map.serialize_entry(name, self.as_str())?;
        map.serialize_entry(said, self)
    }
}

impl<T: Says> Says for Option<T> {
    fn write<M: SerializeMap>(
        &self,
        name: &'static str,
        said: &'static str,
        map: &mut M,
    ) -> Result<(), M::Error> {
        match self {
            Some(says) => says.write(name, said, map),
            None => Ok(()),
        }
    }
}

/// Two lists in the same order.
impl Says for Vec<Sentence> {
    fn write<M: SerializeMap>(
        &self,
        name: &'static str,
        said: &'static str,
        map: &mut M,
    ) -> Result<(), M::Error> {
        let texts: Vec<&str> = self.iter().map(Sentence::as_str).collect();
        map.serialize_entry(name, &texts)?;
        map.serialize_entry(said, self)
    }
}

macro_rules! members {
    ($($name:ident),+ $(,)?) => {
        $(
            /// For `#[serde(flatten, serialize_with = "…")]` of the field with this name.
            pub(crate) fn $name<S: Serializer>(says: &impl Says, serializer: S) -> Result<S::Ok, S::Error> {
                let mut map = serializer.serialize_map(None)?;
                says.write(stringify!($name), concat!(stringify!($name), "Said"), &mut map)?;
                map.end()
            }
        )+
    };
}

members!(
    detail, fix, incomplete, message, norce, outcome, summary, todo, would
);
