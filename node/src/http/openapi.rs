//! `/openapi.json`, the pages under `/docs`, and the explanation of every error code.

use axum::response::{Html, IntoResponse, Response};
use raftwork_api::{ErrorCode, Problem};
use utoipa::{IntoResponses, OpenApi};

/// Every problem, for the description of every endpoint.
#[derive(IntoResponses)]
#[response(
    status = "default",
    description = "A problem (RFC 9457); its `code` says which. 429 and 503 carry `Retry-After`.",
    content_type = "application/problem+json"
)]
#[expect(dead_code, reason = "describes the problem document to OpenAPI")]
pub(super) struct Problems(Problem);

/// The description of the interface; the router adds the paths.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Raftwork",
        description = "Runs Python functions on a cluster that does not lose them. Any node answers any request. A 2xx \
                       answer to a write means: durable on a majority of the nodes, and applied. Every error is a problem \
                       document; its codes are explained at /docs/errors."
    ),
    // `Problems` stands for it in every endpoint, and brings no schema along.
    components(schemas(Problem, ErrorCode)),
    tags(
        (name = "functions", description = "What can be run"),
        (name = "tasks", description = "What is to be run, runs, or has run"),
        (name = "maps", description = "One function over many items, as one request"),
        (name = "limits", description = "How many tasks under a key run at a time, and how many start within a span"),
        (name = "schedules", description = "Tasks that are submitted again and again"),
        (name = "leases", description = "For workers: take tasks, keep them, report on them"),
        (name = "workers", description = "Who runs tasks"),
        (name = "cluster", description = "The nodes"),
        (name = "node", description = "The asked node alone"),
        (name = "course", description = "The course contract, unchanged")
    )
)]
pub(super) struct Description;

/// The page that every problem's `type` points to.
pub(super) const ERRORS_PATH: &str = "/docs/errors";
const ERRORS_PAGE: &str = include_str!("../../../docs/errors.md");

pub(super) async fn errors_page() -> Response {
    Html(to_html(ERRORS_PAGE)).into_response()
}

const HEAD: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Raftwork: errors</title>\
    <style>body{max-width:44rem;margin:2rem auto;padding:0 1rem;font:16px/1.5 sans-serif}\
    code{background:#8883;padding:0 .2em}</style>";

/// As much of Markdown as that one page uses: headings, paragraphs, `code`.
fn to_html(markdown: &str) -> String {
    let blocks = markdown.split("\n\n").map(str::trim).filter(|block| !block.is_empty());
    [HEAD.to_owned()].into_iter().chain(blocks.map(block_to_html)).collect()
}

fn block_to_html(block: &str) -> String {
    if let Some(heading) = block.strip_prefix("## ") {
        format!("<h2 id=\"{heading}\">{heading}</h2>")
    } else if let Some(heading) = block.strip_prefix("# ") {
        format!("<h1>{heading}</h1>")
    } else {
        format!("<p>{}</p>", with_code(block))
    }
}

fn with_code(text: &str) -> String {
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let spans = escaped.split('`').enumerate();
    spans.map(|(n, span)| if n % 2 == 1 { format!("<code>{span}</code>") } else { span.to_owned() }).collect()
}

#[cfg(test)]
mod tests {
    use utoipa::PartialSchema;

    use super::*;

    #[test]
    fn every_code_is_explained_under_its_own_anchor() {
        let schema = serde_json::to_value(ErrorCode::schema()).unwrap();
        let codes: Vec<&str> =
            schema["enum"].as_array().unwrap().iter().map(|code| code.as_str().unwrap()).collect();
        assert!(codes.len() > 15);
        let page = to_html(ERRORS_PAGE);
        for code in codes {
            assert!(page.contains(&format!("<h2 id=\"{code}\">")), "docs/errors.md says nothing of {code}");
        }
    }

    #[test]
    fn text_is_escaped_and_code_is_marked() {
        assert_eq!(with_code("a < `b & c`"), "a &lt; <code>b &amp; c</code>");
    }
}
