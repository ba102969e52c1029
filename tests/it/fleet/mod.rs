//! Several nodes as one.
//!
//! | what | where |
//! |---|---|
//! | limits that are divided by the number of nodes | `divided` |

mod divided;
