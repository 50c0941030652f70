/**
 * The files that operators write: YAML, read strictly, so that every complaint names file, line and key. Programs read one with {@link
 * io.vmft.config.Section}; nothing here knows what the keys mean.
 */
@org.jspecify.annotations.NullMarked
package io.vmft.config;
