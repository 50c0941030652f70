/**
 * Looks at a journal, its images and the arbiter's records without changing anything, beside a server that runs or when none does:
 * whether all is consistent, what is there, and what a volume held at an epoch. It reads with the readers of the journal and judges
 * with recovery's plan, so that it says what a server would do. It knows no command lines and no sockets.
 */
@org.jspecify.annotations.NullMarked
package io.vmft.blk.inspect;
