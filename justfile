# Daily commands. `just` alone lists them.

default:
    @just --list

# Format, lints, documentation, tests and samples, as CI runs them
ci:
    .ci/run

# Check that it compiles, quickly
check:
    cargo check --all-targets

# Run all tests, or those whose names contain FILTER
test FILTER='':
    cargo test {{FILTER}}

# Format and lint
lint:
    cargo fmt --check
    cargo clippy --all-targets --locked -- -D warnings

# Open the API documentation
doc:
    RUSTDOCFLAGS='-D warnings' cargo doc --no-deps --open

# Run the demo
demo:
    cargo run --release -- demo

# Rewrite the generated reference pages
reference:
    UPDATE_REFERENCE=1 cargo test --test it reference
