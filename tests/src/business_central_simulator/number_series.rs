/// A number series of the ERP, such as the one behind "Customer Nos." (erp-apis §1.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberSeries {
    /// The number that is handed out next: any text that ends in digits.
    pub next: String,
    /// *Manual Nos.*: whether the caller that creates a record may choose its number.
    pub manual: bool,
}

impl NumberSeries {
    /// A series that starts with this number and allows no manual ones.
    pub fn starting_at(next: &str) -> Self {
        Self {
            next: next.to_owned(),
            manual: false,
        }
    }

    /// Draws a number that is not `taken`. A drawn number is used up, even if the record is not created.
    pub(super) fn draw(&mut self, taken: impl Fn(&str) -> bool) -> String {
        loop {
            let following = increment(&self.next);
            let number = std::mem::replace(&mut self.next, following);
            if !taken(&number) {
                return number;
            }
        }
    }
}

/// The number that follows: the trailing digits plus one, their width kept.
fn increment(number: &str) -> String {
    let stem = number.trim_end_matches(|letter: char| letter.is_ascii_digit());
    let digits = &number[stem.len()..];
    let value = digits.parse::<u64>().unwrap_or(0) + 1;
    format!("{stem}{value:0width$}", width = digits.len())
}
