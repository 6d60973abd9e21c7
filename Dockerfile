# Built and run on the same Debian release, so that the binary finds the libc that it was linked against.
FROM rust:1.95-bookworm AS builder
WORKDIR /src
COPY . .
ARG REVISION=unknown
# What is downloaded and compiled stays in caches of its own, so that a change of the source compiles the source alone.
# The caches are older or newer than this source, whatever its timestamps say: it counts as changed.
RUN --mount=type=cache,id=stampede-registry,target=/usr/local/cargo/registry \
    --mount=type=cache,id=stampede-target,target=/src/target,sharing=locked \
    find src migrations assets -type f -exec touch {} + \
 && STAMPEDE_REVISION="$REVISION" CARGO_PROFILE_RELEASE_DEBUG=false CARGO_PROFILE_RELEASE_STRIP=true \
    cargo build --release --locked --bin stampede \
 && install -D target/release/stampede /out/stampede

FROM gcr.io/distroless/cc-debian12:nonroot AS service
COPY --from=builder /out/stampede /stampede
ENV HTTP_ADDR=0.0.0.0:8080
EXPOSE 8080
USER 65532:65532
HEALTHCHECK --interval=2s --timeout=3s --start-period=30s CMD ["/stampede", "healthcheck"]
ENTRYPOINT ["/stampede"]
