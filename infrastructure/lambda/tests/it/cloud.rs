//! The API over Amazon's storage, as processes: events of API Gateway, the function's binary, moto in the place of
//! DynamoDB, S3 and SQS, and the workers of stage 10.

mod api;
mod bounds;
mod by_hand;
mod conversation;
mod end_to_end;
mod front;
mod fuzz;
mod items;
mod killed;
mod moto;
mod queue;
mod same;
mod site;
