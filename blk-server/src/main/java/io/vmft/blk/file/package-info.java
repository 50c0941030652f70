/**
 * Files as the journal and the images need them: positioned, complete, uninterruptible, with holes. The rest of the server calls
 * it through {@link io.vmft.blk.file.StoreFile}, so that tests can put a faulty disk in its place. It knows nothing of volumes.
 */
@org.jspecify.annotations.NullMarked
package io.vmft.blk.file;
