/** Benchmarks: how they are named, run and reported. Each lives in a package of its own and is listed in {@link io.vmft.bench.BenchMain}. */
@org.jspecify.annotations.NullMarked
package io.vmft.bench;
