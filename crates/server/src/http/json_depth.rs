//! How deep JSON is nested, told before it is read: readers of nested values recurse, and what is passed on as it was written
//! is read by others, whose depth nobody knows.

use super::error::ApiError;

/// Refuses a body whose values are nested deeper than `max`; an empty object is one deep. Says nothing of whether it is JSON.
pub(crate) fn check(body: &[u8], max: usize) -> Result<(), ApiError> {
    let mut depth = 0_usize;
    let mut bytes = body.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'[' => {
                depth += 1;
                if depth > max {
                    return Err(ApiError::TooDeep { max });
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                while let Some(byte) = bytes.next() {
                    match byte {
                        b'"' => break,
                        b'\\' => {
                            bytes.next();
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn depth(value: &Value) -> usize {
        match value {
            Value::Array(list) => 1 + list.iter().map(depth).max().unwrap_or(0),
            Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
            _ => 0,
        }
    }

    #[test]
    fn brackets_in_texts_do_not_count() {
        let text = r#"{"[[[[":"{{{{\"[[","a":[{}]}"#;
        assert!(check(text.as_bytes(), 3).is_ok());
        assert!(check(text.as_bytes(), 2).is_err());
        for broken in ["\"", "\"\\", "]]]]", "[\"\\\"", ""] {
            assert!(check(broken.as_bytes(), 1).is_ok(), "{broken}");
        }
        let deep = "[".repeat(100_000);
        assert!(check(deep.as_bytes(), 64).is_err());
    }

    proptest! {
        #[test]
        fn it_is_the_depth_of_what_is_read(
            value in proptest::arbitrary::any::<u8>().prop_map(Value::from).prop_recursive(5, 40, 4, |inner| prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("[\\[{\"\\\\a]{0,3}", inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
            ])
        ) {
            let text = value.to_string();
            for max in 0..7 {
                prop_assert_eq!(check(text.as_bytes(), max).is_ok(), depth(&value) <= max);
            }
        }
    }
}
