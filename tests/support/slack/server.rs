//! HTTP: who asks for what.

use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION};
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Response, StatusCode};
use serde_json::Value;
use tokio::net::TcpListener;

use super::super::mock::http::{self, Dropped, MAX_BODY, bearer, broken, converse, header, plain};
use super::super::mock::{Knowledge as _, Request};
use super::api::{self, Reply};
use super::files::{self, Download};
use super::{BOT_TOKEN, Shared, socket};

/// Serves Slack until the mock ends.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let service = Arc::clone(&shared);
        shared.spawn(async move {
            let answer = service_fn(|request| respond(Arc::clone(&service), request));
            converse(stream, answer).await;
        });
    }
}

/// Serves a host that is not Slack's, which must never see a token.
pub(super) async fn serve_elsewhere(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let service = Arc::clone(&shared);
        shared.spawn(async move {
            let answer = service_fn(async |request: hyper::Request<Incoming>| {
                let path = request.uri().path().to_owned();
                Ok::<_, Dropped>(service.update(|state| {
                    if request.headers().contains_key(AUTHORIZATION) {
                        state.violation(format!("a token went to another host: {path}"));
                    }
                    download_answer(state.download_elsewhere(&path))
                }))
            });
            converse(stream, answer).await;
        });
    }
}

async fn respond(
    shared: Arc<Shared>,
    request: hyper::Request<Incoming>,
) -> Result<Response<Body>, Dropped> {
    if request.uri().path() == "/link/" {
        return Ok(socket::upgrade(&shared, request));
    }
    let (head, body) = request.into_parts();
    let body = to_bytes(Body::new(body), MAX_BODY)
        .await
        .map_err(|_| Dropped)?;
    let path = head.uri.path().to_owned();
    shared.update(|state| {
        state.common_mut().requests.push(Request {
            at: std::time::Instant::now(),
            method: path.strip_prefix("/api/").map(str::to_owned),
            path: path.clone(),
            headers: http::all(&head.headers),
            body: body.to_vec(),
        });
    });
    if let Some(method) = path.strip_prefix("/api/") {
        if head.method != Method::POST {
            shared.update(|state| state.violation(format!("{} of {path}", head.method)));
        }
        return call(&shared, method, &head.headers, &body).await;
    }
    if let Some(ticket) = path.strip_prefix("/upload/v1/") {
        return Ok(upload(&shared, ticket, &head.headers, &body));
    }
    if path.starts_with("/files-pri/") && head.method == Method::GET {
        let authorized = bearer(&head.headers) == Some(BOT_TOKEN);
        return Ok(shared.update(|state| download_answer(state.download(&path, authorized))));
    }
    if let Some(name) = path.strip_prefix("/actions/") {
        let is_taken = shared.update(|state| {
            let payload = serde_json::from_slice::<Value>(&body);
            let Ok(payload) = payload else {
                state.violation("a response_url got a body that is no JSON");
                return false;
            };
            state.responses.push((name.to_owned(), payload));
            true
        });
        let status = if is_taken {
            StatusCode::OK
        } else {
            StatusCode::BAD_REQUEST
        };
        return Ok(plain(status, "ok"));
    }
    shared.update(|state| state.violation(format!("nothing is at {path}")));
    Ok(plain(StatusCode::NOT_FOUND, "not found"))
}

async fn call(
    shared: &Arc<Shared>,
    method: &str,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Response<Body>, Dropped> {
    let content_type = header(headers, CONTENT_TYPE.as_str());
    let reply =
        shared.update(|state| api::answer(state, method, bearer(headers), content_type, body));
    match reply {
        Reply::Json { value, scopes } => {
            let mut response =
                Response::builder().header(CONTENT_TYPE, "application/json; charset=utf-8");
            if let Some(scopes) = scopes {
                response = response.header("x-oauth-scopes", scopes);
            }
            Ok(response
                .body(Body::from(value.to_string()))
                .expect("a response"))
        }
        Reply::TooMany { seconds, body } => Ok(Response::builder()
            .status(StatusCode::TOO_MANY_REQUESTS)
            .header("Retry-After", seconds)
            .body(Body::from(body))
            .expect("a response")),
        Reply::Broken(status) => Ok(broken(status)),
        Reply::Drop => Err(Dropped),
        Reply::Silence => std::future::pending().await,
    }
}

fn upload(shared: &Arc<Shared>, ticket: &str, headers: &HeaderMap, body: &Bytes) -> Response<Body> {
    let content = files::content(header(headers, CONTENT_TYPE.as_str()), body);
    match shared.update(|state| state.take_upload(ticket, content)) {
        Ok(length) => plain(StatusCode::OK, &format!("OK - {length}")),
        Err(why) => plain(StatusCode::BAD_REQUEST, why),
    }
}

fn download_answer(download: Download) -> Response<Body> {
    match download {
        Download::Content { mime, bytes } => Response::builder()
            .header(CONTENT_TYPE, mime)
            .body(Body::from(bytes))
            .expect("a response"),
        // Slack's way to say no: 200 and a page for people.
        Download::Login => Response::builder()
            .header(CONTENT_TYPE, "text/html; charset=utf-8")
            .body(Body::from(
                "<!DOCTYPE html><html><head><title>Slack</title></head><body>Sign in to your workspace</body></html>",
            ))
            .expect("a response"),
        Download::Redirect(to) => Response::builder()
            .status(StatusCode::FOUND)
            .header(LOCATION, to)
            .body(Body::empty())
            .expect("a response"),
        Download::Missing => plain(StatusCode::NOT_FOUND, "not found"),
    }
}
