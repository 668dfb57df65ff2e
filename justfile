# All tasks of the project.

# List the tasks
default:
    @just --list

# Format and lint, as CI does
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    cargo xtask verify

# All tests
test *arguments:
    scripts/test {{arguments}}

# Service a practice medium
demo *arguments:
    scripts/demo {{arguments}}

# Write what is derived from the code: schemas and command reference
generate:
    cargo xtask generate

# Everything against its peer, in one run
bench *arguments:
    scripts/bench {{arguments}}

# The whole job against the peers' pipeline: five paired runs, the median ratio last
bench-peer:
    scripts/bench peer

# Run one fuzz target for a while (fuzz/README.md)
fuzz target seconds="60":
    mkdir -p fuzz/corpus-local/{{target}} fuzz/corpus/{{target}}
    cd fuzz && RUSTC_BOOTSTRAP=1 cargo fuzz run {{target}} corpus-local/{{target}} corpus/{{target}} -- -max_total_time={{seconds}}
