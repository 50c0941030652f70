@NullMarked
package io.vmft.kvm;

import org.jspecify.annotations.NullMarked;
