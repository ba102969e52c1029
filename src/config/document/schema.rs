//! JSON Schema (draft 2020-12) of a document.

use serde_json::{Map, Value, json};

use super::shape::{KeySpec, Presence, Shape};

/// The schema of a document whose root has these keys.
pub fn schema(title: &str, keys: &[KeySpec]) -> Value {
    let mut schema = section(keys);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!(title);
    schema
}

fn shape_schema(shape: &Shape) -> Value {
    match shape {
        Shape::Boolean => json!({ "type": "boolean" }),
        Shape::Number(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        // YAML reads text such as `10001` as a number; the gateway takes it as text.
        Shape::Text { pattern: None, .. } => json!({ "type": ["string", "number"] }),
        Shape::Text { pattern: Some(pattern), .. } => {
            json!({ "type": ["string", "integer"], "pattern": pattern })
        }
        Shape::Words(words) => {
            let number = |word: &&str| word.parse::<f64>().ok().map(|number| json!(number));
            let values = words.iter().map(|word| json!(word)).chain(words.iter().filter_map(number));
            json!({ "enum": values.collect::<Vec<_>>() })
        }
        Shape::List { of, may_be_empty } => {
            let least = usize::from(!may_be_empty);
            json!({ "type": "array", "items": shape_schema(of), "minItems": least })
        }
        Shape::Section(keys) => section(keys),
        Shape::Named(of) => json!({
            "type": ["object", "null"],
            "additionalProperties": shape_schema(of),
            "propertyNames": { "pattern": "^[A-Za-z0-9_.-]{1,32}$" },
        }),
        Shape::Either(shapes) => json!({ "anyOf": shapes.iter().map(shape_schema).collect::<Vec<_>>() }),
    }
}

fn section(keys: &[KeySpec]) -> Value {
    let property = |spec: &KeySpec| {
        let mut schema = shape_schema(&spec.shape);
        schema["description"] = json!(spec.text());
        if let Presence::Default(text) = &spec.presence {
            schema["default"] = default(&spec.shape, text);
        }
        (spec.key.to_owned(), schema)
    };
    let properties: Map<String, Value> = keys.iter().map(property).collect();
    let is_required = |spec: &&KeySpec| matches!(spec.presence, Presence::Required);
    let required: Vec<_> = keys.iter().filter(is_required).map(|spec| spec.key).collect();
    // A key without a value is an empty section.
    let kind = if required.is_empty() { json!(["object", "null"]) } else { json!("object") };
    json!({ "type": kind, "properties": properties, "required": required, "additionalProperties": false })
}

fn default(shape: &Shape, text: &str) -> Value {
    let is_text = matches!(shape, Shape::Text { .. } | Shape::Words(_));
    match serde_json::from_str(text) {
        Ok(value) if !is_text => value,
        _ => json!(text),
    }
}
