//! Closed sets: enums whose values all have a fixed label in configuration, metrics or logs.

/// Declares an enum, its labels, the list of its values and its parser in one place:
///
/// ```text
/// closed_set! {
///     /// How an origin failed.
///     pub enum OriginError {
///         /// The connection was refused.
///         Connect => "connect",
///         /// The TLS handshake failed.
///         Tls => "tls",
///     }
/// }
/// ```
///
/// The enum is `Copy` and gets
/// - `OriginError::ALL`: every value, in the order of the declaration, so that `value as usize` is
///   the position in `ALL`;
/// - `label()`: the label, as a `&'static str`;
/// - `"tls".parse::<OriginError>()` ([`std::str::FromStr`]), which fails with [`UnknownLabel`].
macro_rules! closed_set {
    (
        $(#[$about:meta])*
        $visibility:vis enum $name:ident {
            $( $(#[$about_value:meta])* $value:ident => $label:literal ),+ $(,)?
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        $visibility enum $name {
            $( $(#[$about_value])* $value ),+
        }

        impl $name {
            /// Every value, in the order of the declaration.
            pub const ALL: [$name; [$($label),+].len()] = [$($name::$value),+];

            /// The fixed name in configuration, metrics and logs.
            pub const fn label(self) -> &'static str {
                match self {
                    $($name::$value => $label),+
                }
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::closed_set::UnknownLabel;

            fn from_str(label: &str) -> Result<Self, Self::Err> {
                match label {
                    $($label => Ok($name::$value),)+
                    _ => Err($crate::closed_set::UnknownLabel),
                }
            }
        }
    };
}

pub(crate) use closed_set;

/// The text is not the label of any value in the set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownLabel;

impl std::fmt::Display for UnknownLabel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the label is unknown")
    }
}

impl std::error::Error for UnknownLabel {}

#[cfg(test)]
mod tests {
    use super::*;

    closed_set! {
        /// Three sizes.
        enum Size {
            /// The first.
            Small => "small",
            /// The second.
            Medium => "medium",
            /// The third.
            Large => "large",
        }
    }

    #[test]
    fn labels_list_and_parser_agree() {
        assert_eq!(Size::ALL, [Size::Small, Size::Medium, Size::Large]);
        for (position, size) in Size::ALL.into_iter().enumerate() {
            assert_eq!(size as usize, position);
            assert_eq!(size.label().parse(), Ok(size));
        }
        assert_eq!("huge".parse::<Size>(), Err(UnknownLabel));
        assert_eq!("Small".parse::<Size>(), Err(UnknownLabel));
    }
}
