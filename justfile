# Daily commands. `just` alone lists them.

# List the commands
default:
    @{{just_executable()}} --list

# The whole check, as CI runs it
ci:
    .ci/run

# Compile everything and lint it, quickly
check:
    cargo clippy --all-targets --locked

# Run all tests, or those whose names contain FILTER
test FILTER='':
    cargo test {{FILTER}}

# Format the code
format:
    cargo fmt

# Check format, lints and spelling (pip install codespell)
lint:
    cargo fmt --check
    cargo clippy --workspace --all-targets --locked -- -D warnings
    codespell

# Build the API documentation
doc:
    RUSTDOCFLAGS='-D warnings' cargo doc --no-deps

# Run the demo
demo:
    cargo run --release -- demo

# Scrape the gateway of this machine with a Prometheus that has the alerts
trial ADMIN='127.0.0.1:8788':
    packaging/prometheus/trial {{ADMIN}}

# Rewrite the generated reference pages and the schema
reference:
    UPDATE_REFERENCE=1 cargo test --test it reference

# Count the instructions of a request; needs valgrind
instructions:
    cargo bench --bench instructions
