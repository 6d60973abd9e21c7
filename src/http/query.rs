//! Reads the query of an address: which template is asked for.

use super::problems::HttpError;
use crate::template::TemplateId;

/// Longer than any query that can be right.
pub(super) const LONGEST_QUERY: usize = 256;

/// The one `id` of a query. Other parameters are ignored.
pub(super) fn template_id(query: Option<&str>) -> Result<TemplateId, HttpError> {
    let query = query.unwrap_or_default();
    if query.len() > LONGEST_QUERY {
        return Err(HttpError::BadRequest("the query is longer than 256 bytes"));
    }
    // What nearly every caller sends needs no decoding.
    if let Some(id) = query.strip_prefix("id=").and_then(TemplateId::parse) {
        return Ok(id);
    }
    let mut ids = form_urlencoded::parse(query.as_bytes())
        .filter(|(name, _)| name == "id")
        .map(|(_, id)| id);
    let id = ids.next().ok_or(HttpError::BadRequest(
        "the parameter id is missing: ask for /template-details?id=1",
    ))?;
    if ids.next().is_some() {
        return Err(HttpError::BadRequest(
            "the parameter id is given more than once",
        ));
    }
    TemplateId::parse(&id).ok_or(HttpError::BadRequest(
        "id must be a decimal integer from 1 to 9223372036854775807",
    ))
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use super::*;

    fn id(query: &str) -> Option<i64> {
        template_id(Some(query)).ok().map(TemplateId::number)
    }

    #[test]
    fn one_id_among_any_other_parameters_is_read() {
        for query in ["id=7", "a=b&id=7", "id=7&", "&&id=7&x", "%69d=%37"] {
            assert_eq!(id(query), Some(7), "{query}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let long = format!("id=7&x={}", "y".repeat(LONGEST_QUERY));
        for query in [
            "",
            "id",
            "id=",
            "ID=7",
            "id=7&id=7",
            "id=7&%69d=8",
            "id[]=7",
            "id=0",
            "id=-1",
            "id=+7",
            "id=%2B7",
            "id=%207",
            "id=0x1",
            "id=1.0",
            "id=%00",
            "id=7%00",
            "id=%zz",
            "id=%EF%BC%91",
            "id=9223372036854775808",
            &long,
        ] {
            assert_eq!(id(query), None, "{query}");
        }
        assert!(template_id(None).is_err());
    }
}
