/** Where log lines go, and how they look. */
@NullMarked
package io.vmft.config.log;

import org.jspecify.annotations.NullMarked;
