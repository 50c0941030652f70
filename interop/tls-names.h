/* Included before libnbd's tests: what they say about a shared key, said about certificates. */
#include <libnbd.h>

#define nbd_set_tls_username(nbd, name) 0
#define nbd_set_tls_psk_file(nbd, file) nbd_set_tls_certificates(nbd, "pki")
