//! Unsigned numbers as the grammars of HTTP and of our settings have them: digits only, at least
//! one.
//!
//! The only reader of numbers: `str::parse` and `from_str_radix` accept a leading `+`.

/// Reads a decimal number. Returns `None` for anything but digits, and for a number over `u64`.
pub fn decimal(digits: &[u8]) -> Option<u64> {
    number(digits, 10)
}

/// Reads a hexadecimal number, as [`decimal`] does.
pub(crate) fn hexadecimal(digits: &[u8]) -> Option<u64> {
    number(digits, 16)
}

fn number(digits: &[u8], radix: u32) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    let mut value: u64 = 0;
    for &byte in digits {
        let digit = char::from(byte).to_digit(radix)?;
        value = value.checked_mul(u64::from(radix))?;
        value = value.checked_add(u64::from(digit))?;
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::{decimal, hexadecimal};

    #[test]
    fn number_of_digits_only_is_read() {
        let table: [(&str, Option<u64>, Option<u64>); 9] = [
            ("0", Some(0), Some(0)),
            ("10", Some(10), Some(16)),
            ("fF", None, Some(255)),
            ("", None, None),
            ("+1", None, None),
            ("-1", None, None),
            (" 1", None, None),
            ("18446744073709551615", Some(u64::MAX), None),
            ("18446744073709551616", None, None),
        ];
        for (text, as_decimal, as_hexadecimal) in table {
            assert_eq!(decimal(text.as_bytes()), as_decimal, "{text}");
            assert_eq!(hexadecimal(text.as_bytes()), as_hexadecimal, "{text}");
        }
    }
}
