//! Answers that we give ourselves.

use bytes::Bytes;
use convoy_routing::Maintenance;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Response, StatusCode};

use crate::reason::Reason;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What is listed to a client that asked with CONNECT or TRACE.
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");

/// Whether the client is a browser that shows a page.
pub(crate) fn wants_page(accept: Option<&[u8]>) -> bool {
    accept.is_some_and(|value| value.windows(9).any(|part| part == b"text/html"))
}

/// The answer for a request that no target answered. Nothing of the request is repeated in it but the identifier that
/// we gave it ourselves.
pub(crate) fn refusal(reason: Reason, id: &str, page: bool) -> Response<Bytes> {
    let status = reason.status();
    let title = format!("{} {}", status.as_str(), status.canonical_reason().unwrap_or("Error"));
    let (kind, text) = if page {
        let text = format!(
            "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title></head>\n\
             <body><h1>{title}</h1>\n<p>{}</p>\n<p><small>reason {}, request {id}</small></p></body></html>\n",
            reason.explanation(),
            reason.as_str(),
        );
        ("text/html; charset=utf-8", text)
    } else {
        let text = format!("{title}\n{}\nreason {}, request {id}\n", reason.explanation(), reason.as_str());
        ("text/plain; charset=utf-8", text)
    };
    let mut response = Response::new(Bytes::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(X_REQUEST_ID, id);
    }
    if let Some(seconds) = reason.retry_after() {
        headers.insert(RETRY_AFTER, HeaderValue::from_static(seconds));
    }
    if reason == Reason::Method {
        headers.insert(ALLOW, METHODS);
    }
    response
}

/// A text that was asked for.
pub(crate) fn text(text: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::copy_from_slice(text.as_bytes()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Sends the client elsewhere.
pub(crate) fn redirect(status: StatusCode, location: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    match HeaderValue::from_str(location) {
        Ok(location) => {
            *response.status_mut() = status;
            response.headers_mut().insert(LOCATION, location);
        }
        // A path with bytes that are no text.
        Err(_) => *response.status_mut() = StatusCode::BAD_REQUEST,
    }
    response
}

/// The same address with TLS. The method stays: a form that is sent there is sent again, not asked for.
pub(crate) fn to_https(host: &str, port: Option<u16>, path: &str, query: Option<&str>) -> Response<Bytes> {
    let port = port.filter(|port| *port != 443).map(|port| format!(":{port}")).unwrap_or_default();
    let (mark, query) = query.map_or(("", ""), |query| ("?", query));
    redirect(StatusCode::PERMANENT_REDIRECT, &format!("https://{host}{port}{path}{mark}{query}"))
}

/// The page of somebody who works on the service.
pub(crate) fn maintenance(wanted: &Maintenance, id: &str) -> Response<Bytes> {
    let mut response = refusal(Reason::Maintenance, id, true);
    *response.status_mut() = wanted.status;
    if let Some(page) = &wanted.page {
        *response.body_mut() = page.clone();
    }
    if let Some(seconds) = &wanted.retry_after {
        response.headers_mut().insert(RETRY_AFTER, seconds.clone());
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(response: Response<Bytes>) -> String {
        String::from_utf8(response.into_body().to_vec()).unwrap()
    }

    #[test]
    fn a_refusal_tells_reason_and_request() {
        let response = refusal(Reason::NoTarget, "abc", false);
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()[RETRY_AFTER], "5");
        assert_eq!(
            body(response),
            "503 Service Unavailable\nThe service has no running instance at the moment.\n\
             reason no-target, request abc\n"
        );
        let page = refusal(Reason::NoRoute, "abc", true);
        assert_eq!(page.headers()[CONTENT_TYPE], "text/html; charset=utf-8");
        assert!(body(page).contains("<h1>404 Not Found</h1>"));
    }

    #[test]
    fn browsers_get_a_page() {
        for (accept, page) in
            [(None, false), (Some(&b"*/*"[..]), false), (Some(b"text/html,application/xml;q=0.9"), true)]
        {
            assert_eq!(wants_page(accept), page, "{accept:?}");
        }
    }

    #[test]
    fn words_are_unique() {
        let mut words: Vec<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Reason::ALL.len());
    }
}
