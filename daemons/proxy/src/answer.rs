//! Answers that we give ourselves.

use bytes::Bytes;
use convoy_hygiene::X_REQUEST_ID;
use convoy_routing::Maintenance;
use http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Response, StatusCode, Uri};

use crate::body::AnswerBody;
use crate::reason::Reason;

/// What is listed to a client that asked with CONNECT or TRACE.
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");

/// Whether the client is a browser that shows a page.
pub(crate) fn wants_page(headers: &HeaderMap) -> bool {
    headers.get(ACCEPT).is_some_and(|value| value.as_bytes().windows(9).any(|part| part == b"text/html"))
}

/// The answer for a request that no target answered. Nothing of the request is repeated in it but the identifier that
/// we gave it ourselves.
pub(crate) fn refusal(reason: Reason, request_id: &HeaderValue, page: bool) -> Response<AnswerBody> {
    let status = reason.status();
    let title = format!("{} {}", status.as_str(), status.canonical_reason().unwrap_or("Error"));
    let id = request_id.to_str().unwrap_or("-");
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
    let mut response = Response::new(AnswerBody::Full(Some(Bytes::from(text))));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_REQUEST_ID, request_id.clone());
    if let Some(seconds) = reason.retry_after() {
        headers.insert(RETRY_AFTER, HeaderValue::from_static(seconds));
    }
    if reason == Reason::Method {
        headers.insert(ALLOW, METHODS);
    }
    response
}

/// A text that was asked for.
pub(crate) fn text(text: &str) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::Full(Some(Bytes::copy_from_slice(text.as_bytes()))));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Sends the client elsewhere.
pub(crate) fn redirect(status: StatusCode, location: &str) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::Empty);
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
pub(crate) fn to_https(host: &str, port: Option<u16>, uri: &Uri) -> Response<AnswerBody> {
    let port = port.filter(|port| *port != 443).map(|port| format!(":{port}")).unwrap_or_default();
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    redirect(StatusCode::PERMANENT_REDIRECT, &format!("https://{host}{port}{path}"))
}

/// The page of somebody who works on the service.
pub(crate) fn maintenance(wanted: &Maintenance, request_id: &HeaderValue) -> Response<AnswerBody> {
    let mut response = refusal(Reason::Maintenance, request_id, true);
    *response.status_mut() = wanted.status;
    if let Some(page) = &wanted.page {
        *response.body_mut() = AnswerBody::Full(Some(page.clone()));
    }
    if let Some(seconds) = &wanted.retry_after {
        response.headers_mut().insert(RETRY_AFTER, seconds.clone());
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(response: Response<AnswerBody>) -> String {
        match response.into_body() {
            AnswerBody::Full(Some(bytes)) => String::from_utf8(bytes.to_vec()).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_refusal_tells_reason_and_request() {
        let id = HeaderValue::from_static("abc");
        let response = refusal(Reason::NoTarget, &id, false);
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()[RETRY_AFTER], "5");
        assert_eq!(
            body(response),
            "503 Service Unavailable\nThe service has no running instance at the moment.\n\
             reason no-target, request abc\n"
        );
        let page = refusal(Reason::NoRoute, &id, true);
        assert_eq!(page.headers()[CONTENT_TYPE], "text/html; charset=utf-8");
        assert!(body(page).contains("<h1>404 Not Found</h1>"));
    }

    #[test]
    fn browsers_get_a_page() {
        let mut headers = HeaderMap::new();
        assert!(!wants_page(&headers));
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        assert!(!wants_page(&headers));
        headers.insert(ACCEPT, HeaderValue::from_static("text/html,application/xml;q=0.9"));
        assert!(wants_page(&headers));
    }

    #[test]
    fn words_are_unique() {
        let mut words: Vec<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Reason::ALL.len());
    }
}
