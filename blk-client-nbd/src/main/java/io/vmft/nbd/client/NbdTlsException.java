package io.vmft.nbd.client;

import java.io.IOException;

/** No encrypted connection came about: a certificate is not trusted, made out to another name, expired, or the server wants one. */
public final class NbdTlsException extends IOException {
    private static final long serialVersionUID = 1L;

    NbdTlsException(String message, Throwable cause) {
        super(message, cause);
    }
}
