//! Events of a REST API (payload format 1.0): that of the workers in a VPC.

use serde_json::json;

use super::*;

/// An event as Amazon documents it for a private REST API: the name of the deployment stage is not in its path.
fn event() -> http::Request<Full<Bytes>> {
    let event = json!({
        "resource": "/workers/{proxy+}",
        "path": "/workers/0198-7/claim",
        "httpMethod": "POST",
        "headers": { "Host": "id.execute-api.eu-west-1.amazonaws.com", "Authorization": "Bearer crk_1" },
        "multiValueHeaders": {
            "Host": ["id.execute-api.eu-west-1.amazonaws.com"], "Authorization": ["Bearer crk_1"]
        },
        "queryStringParameters": null,
        "multiValueQueryStringParameters": null,
        "pathParameters": { "proxy": "0198-7/claim" },
        "stageVariables": null,
        "requestContext": {
            "resourceId": "abc",
            "resourcePath": "/workers/{proxy+}",
            "httpMethod": "POST",
            "path": "/v1/workers/0198-7/claim",
            "accountId": "123456789012",
            "protocol": "HTTP/1.1",
            "stage": "v1",
            "domainPrefix": "id",
            "domainName": "id.execute-api.eu-west-1.amazonaws.com",
            "requestId": "id",
            "requestTimeEpoch": 1_773_342_238_390_u64,
            "identity": { "sourceIp": "10.20.0.7", "vpcId": "vpc-1", "vpceId": "vpce-1" },
            "apiId": "id"
        },
        "body": "{\"token\":1}",
        "isBase64Encoded": false
    });
    request(lambda_http::request::from_str(&event.to_string()).unwrap())
}

#[tokio::test]
async fn an_event_of_a_rest_api_is_a_request_like_any_other() {
    let request = event();
    assert_eq!((request.method(), request.uri().path()), (&Method::POST, "/workers/0198-7/claim"));
    assert_eq!(request.uri().query(), None);
    // One header, and not two of which the second would be malformed.
    let values: Vec<_> = request.headers().get_all("authorization").iter().collect();
    assert_eq!(values, ["Bearer crk_1"]);
    let PeerAddr(peer) = request.extensions().get().unwrap();
    assert_eq!(peer.ip().to_string(), "10.20.0.7");
    assert_eq!(&bytes(request).await[..], b"{\"token\":1}");
}
