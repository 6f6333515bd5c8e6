//! Items of the table, and the conditional writes that decide between processes.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use shared::BoxError;

use super::CloudError;

/// An item, or a part of one.
pub(super) type Item = HashMap<String, AttributeValue>;

/// The index of what is due: `queue` (`waiting` or `running`) and `due`. Only what waits or runs is in it.
pub(super) const DUE_INDEX: &str = "due";
/// The index of one key's evaluations: `owner` and `id`.
pub(super) const OWNER_INDEX: &str = "owner";
/// The index of all evaluations: `kind` and `id`.
pub(super) const KIND_INDEX: &str = "kind";

/// What an item is found by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pk: String,
    sk: String,
}

impl Key {
    pub(super) fn new(pk: impl Into<String>, sk: impl Into<String>) -> Self {
        Self { pk: pk.into(), sk: sk.into() }
    }

    /// An item with this key, and nothing else yet.
    pub(super) fn item(&self) -> Item {
        Item::from([("pk".to_owned(), text(&*self.pk)), ("sk".to_owned(), text(&*self.sk))])
    }
}

pub(super) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

pub(super) fn number(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// The text of an attribute, if it has one.
pub(super) fn text_of<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    item.get(name)?.as_s().ok().map(String::as_str)
}

/// The number of an attribute, if it has one.
pub(super) fn number_of<T: std::str::FromStr>(item: &Item, name: &str) -> Option<T> {
    item.get(name)?.as_n().ok()?.parse().ok()
}

/// The evaluation that an item belongs to: every index has the key of the item.
pub(super) fn id_of(item: &Item) -> Option<uuid::Uuid> {
    text_of(item, "pk")?.strip_prefix("eval#")?.parse().ok()
}

/// A change of one item, which happens if its condition is true of the item at that moment.
#[derive(Debug, Default)]
pub(super) struct Change {
    condition: String,
    values: Item,
    set: Vec<(&'static str, AttributeValue)>,
    remove: Vec<&'static str>,
}

impl Change {
    /// Names of attributes are written with `#`, values with `:`.
    pub(super) fn when(condition: impl Into<String>) -> Self {
        Self { condition: condition.into(), ..Self::default() }
    }

    /// One more condition.
    pub(super) fn and(mut self, condition: &str) -> Self {
        self.condition += condition;
        self
    }

    /// A value of the condition.
    pub(super) fn with(mut self, name: &str, value: AttributeValue) -> Self {
        self.values.insert(format!(":{name}"), value);
        self
    }

    pub(super) fn set(mut self, name: &'static str, value: AttributeValue) -> Self {
        self.set.push((name, value));
        self
    }

    pub(super) fn remove(mut self, name: &'static str) -> Self {
        self.remove.push(name);
        self
    }

    /// The expression of the update, with its values among those of the condition.
    fn expression(&mut self) -> String {
        let mut expression = String::new();
        for (number, (name, value)) in std::mem::take(&mut self.set).into_iter().enumerate() {
            expression += if number == 0 { "SET " } else { ", " };
            expression += &format!("#{name} = :set_{name}");
            self.values.insert(format!(":set_{name}"), value);
        }
        for (number, name) in self.remove.iter().enumerate() {
            expression += if number == 0 { " REMOVE " } else { ", " };
            expression += &format!("#{name}");
        }
        expression
    }
}

/// The names that an expression has after `#`. All are written like that, because many are reserved words.
fn names(expression: &str) -> HashMap<String, String> {
    let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
    let names = expression.split('#').skip(1);
    let names = names.map(|rest| rest.split(|c| !is_name(c)).next().unwrap_or_default());
    names.map(|name| (format!("#{name}"), name.to_owned())).collect()
}

/// What to look for in an index, or among the items of one `pk`.
#[derive(Debug, Default)]
pub(super) struct Search {
    pub(super) index: Option<&'static str>,
    /// Such as `#owner = :owner AND #id < :cursor`.
    pub(super) condition: &'static str,
    pub(super) values: Vec<(&'static str, AttributeValue)>,
    pub(super) newest_first: bool,
    /// Items on a page.
    pub(super) limit: Option<i32>,
    /// Where the page before has ended.
    pub(super) after: Option<Item>,
}

/// A page of what was found, and where it has ended, if there may be more.
pub(super) struct Found {
    pub(super) items: Vec<Item>,
    pub(super) end: Option<Item>,
}

/// The table.
pub(super) struct Table {
    client: Client,
    name: String,
}

impl Table {
    pub(super) fn new(client: Client, name: String) -> Self {
        Self { client, name }
    }

    fn failed(&self, source: impl Into<BoxError>) -> CloudError {
        CloudError::Table { table: self.name.clone(), source: source.into() }
    }

    /// The item as the last write has left it.
    pub(super) async fn get(&self, key: &Key) -> Result<Option<Item>, CloudError> {
        let request = self.client.get_item().table_name(&self.name).consistent_read(true);
        let found = request.set_key(Some(key.item())).send().await;
        Ok(found.map_err(|error| self.failed(error))?.item)
    }

    /// Writes an item, whatever is there.
    pub(super) async fn put(&self, item: Item) -> Result<(), CloudError> {
        let request = self.client.put_item().table_name(&self.name).set_item(Some(item));
        request.send().await.map(drop).map_err(|error| self.failed(error))
    }

    /// Writes an item that is not there, or has expired. False when there is one.
    pub(super) async fn insert(&self, item: Item, now_seconds: i64) -> Result<bool, CloudError> {
        let condition = "attribute_not_exists(#pk) OR #expires <= :now";
        let request = self.client.put_item().table_name(&self.name).set_item(Some(item));
        let request = request
            .condition_expression(condition)
            .set_expression_attribute_names(Some(names(condition)))
            .expression_attribute_values(":now", number(now_seconds));
        match request.send().await {
            Ok(_) => Ok(true),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(PutItemError::is_conditional_check_failed_exception) =>
            {
                Ok(false)
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    // ANCHOR: update
    /// Changes an item if the condition of the change is true. The item after that; None when it was not.
    pub(super) async fn update(
        &self,
        key: &Key,
        mut change: Change,
    ) -> Result<Option<Item>, CloudError> {
        let expression = change.expression();
        let names = names(&format!("{expression} {}", change.condition));
        let request = self.client.update_item().table_name(&self.name).set_key(Some(key.item()));
        let request = request
            .update_expression(expression)
            .condition_expression(change.condition)
            .set_expression_attribute_names(Some(names))
            .set_expression_attribute_values(Some(change.values).filter(|all| !all.is_empty()))
            .return_values(ReturnValue::AllNew);
        match request.send().await {
            Ok(changed) => Ok(changed.attributes),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(UpdateItemError::is_conditional_check_failed_exception) =>
            {
                Ok(None)
            }
            Err(error) => Err(self.failed(error)),
        }
    }
    // ANCHOR_END: update

    /// One page.
    pub(super) async fn page(&self, search: Search) -> Result<Found, CloudError> {
        let values = search.values.into_iter();
        let values = values.map(|(name, value)| (format!(":{name}"), value)).collect();
        let request = self.client.query().table_name(&self.name);
        let request = request
            .set_index_name(search.index.map(str::to_owned))
            // An index of this kind has no consistent reads.
            .consistent_read(search.index.is_none())
            .key_condition_expression(search.condition)
            .set_expression_attribute_names(Some(names(search.condition)))
            .set_expression_attribute_values(Some(values))
            .scan_index_forward(!search.newest_first)
            .set_limit(search.limit)
            .set_exclusive_start_key(search.after);
        let found = request.send().await.map_err(|error| self.failed(error))?;
        let end = found.last_evaluated_key.filter(|key| !key.is_empty());
        Ok(Found { items: found.items.unwrap_or_default(), end })
    }

    /// All pages, or as many as have `most` items.
    pub(super) async fn all(&self, search: Search, most: usize) -> Result<Vec<Item>, CloudError> {
        let Search { index, condition, values, newest_first, limit, mut after } = search;
        let mut items = Vec::new();
        loop {
            let values = values.clone();
            let search = Search { index, condition, values, newest_first, limit, after };
            let found = self.page(search).await?;
            items.extend(found.items);
            match found.end {
                Some(end) if items.len() < most => after = Some(end),
                _ => return Ok(items),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_names_every_attribute() {
        let mut change = Change::when("#status = :queued AND #attempt = :attempt")
            .with("queued", text("queued"))
            .set("status", text("running"))
            .set("token", text("t"))
            .remove("published")
            .remove("queue");
        let expression = change.expression();
        assert_eq!(
            expression,
            "SET #status = :set_status, #token = :set_token REMOVE #published, #queue"
        );
        assert_eq!(change.values.len(), 3);
        let mut found: Vec<_> =
            names(&format!("{expression} {}", change.condition)).into_values().collect();
        found.sort();
        assert_eq!(found, ["attempt", "published", "queue", "status", "token"]);
        assert!(names("attribute_exists(#stdout_at)").contains_key("#stdout_at"));
    }
}
