//! Entity tags: how the version of a template is named to callers, and what callers say of those that they know.

use axum::http::HeaderValue;

use super::headers::add_number;
use crate::template::TemplateId;

/// The tag of one state of a template.
pub(super) fn etag(id: TemplateId, version: i64) -> String {
    let mut text = String::new();
    add_etag(&mut text, id, version);
    text
}

/// Adds what [`etag`] is to a text.
pub(super) fn add_etag(text: &mut String, id: TemplateId, version: i64) {
    text.push('"');
    add_number(text, id.number());
    text.push('-');
    add_number(text, version);
    text.push('"');
}

/// The version that a tag names, if it is a strong tag of this template.
pub(super) fn version_of(id: TemplateId, tag: &str) -> Option<i64> {
    let (named, version) = tag.strip_prefix('"')?.strip_suffix('"')?.split_once('-')?;
    (number(named)? == id.number()).then(|| number(version))?
}

/// A number as it stands in a tag: there is one way only to write it.
fn number(text: &str) -> Option<i64> {
    let is_ours = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    is_ours.then(|| text.parse().ok())?
}

/// What `If-None-Match` says of a template: a list of tags, or `*`; a weak tag names the same content. Kept as numbers: a
/// part of the request would keep all of its memory from being used for the next.
#[derive(Debug, Default)]
pub(super) struct IfNoneMatch {
    everything: bool,
    versions: Vec<i64>,
}

impl IfNoneMatch {
    /// Reads the header's values.
    pub(super) fn named<'a>(
        id: TemplateId,
        values: impl IntoIterator<Item = &'a HeaderValue>,
    ) -> Self {
        let mut known = Self::default();
        let values = values.into_iter().filter_map(|value| value.to_str().ok());
        for tag in values.flat_map(|value| value.split(',').map(str::trim)) {
            let strong = tag.strip_prefix("W/").unwrap_or(tag);
            known.everything |= tag == "*";
            known.versions.extend(version_of(id, strong));
        }
        known
    }

    /// Whether this version is one of them.
    pub(super) fn includes(&self, version: i64) -> bool {
        self.everything || self.versions.contains(&version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: i64 = 1;

    #[test]
    fn a_list_of_tags_a_weak_tag_and_a_star_all_name_the_version() {
        let includes = |text| {
            let id = TemplateId::new(ID).unwrap();
            IfNoneMatch::named(id, [&HeaderValue::from_static(text)]).includes(2)
        };
        assert!(includes("\"1-2\"") && includes("\"0-0\", W/\"1-2\"") && includes("*"));
        for other in [
            "\"1-3\"", "1-2", "", "\"2-2\"", "\"1-02\"", "\"01-2\"", "\"1-+2\"", "\"1-2", "\"1-\"",
        ] {
            assert!(!includes(other), "{other}");
        }
    }

    #[test]
    fn the_version_of_a_tag_is_the_one_that_it_was_made_of() {
        let id = TemplateId::new(ID).unwrap();
        for version in [1, 10, i64::MAX] {
            assert_eq!(version_of(id, &etag(id, version)), Some(version));
        }
    }
}
