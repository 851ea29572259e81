/* fleet_access: where the engine of a fleet is, and by what it lets one in.
 *
 *   lane_fleet = unix:/run/redis/redis.sock | host:port | [2001:db8::5]:port
 *              | tls:host:port
 *   lane_fleet_password_file: one line, PASSWORD or USER PASSWORD
 *
 * A user is one of Redis's ACL; without one it is "default". The file is its
 * owner's alone: one that others may read is refused. By TLS the certificate
 * has to be for the host, by an authority of lane_fleet_tls_CAfile.
 */
#ifndef FLEET_ACCESS_H
#define FLEET_ACCESS_H

#include <stdbool.h>
#include <stddef.h>

struct tls_authorities;

struct fleet_access {
	char path[108]; /* of a socket; "": by host and port */
	char host[256];
	int port;
	bool is_tls;
	/* Of tls:, borrowed; set by whoever reads them. */
	const struct tls_authorities *authorities;
	char user[64]; /* "": default */
	char password[512]; /* "": none is asked for */
};

/* False: why says what it must be. Only path, host,
 * port and is_tls are set. */
bool fleet_access_parse(
    const char *lane_fleet, struct fleet_access *out, char *why, size_t n);

/* Blocks on the disk. False: why has it, in words; the password is never among
 * them. An empty name is no password. */
bool fleet_access_password(
    const char *file, struct fleet_access *out, char *why, size_t n);

/* Before a password is in it: it stays in memory, and is never written to a
 * swap space. False with errno; it is of use all the same. */
bool fleet_access_lock(struct fleet_access *a);

/* An engine's error may have the words that it was told: "ERR unknown command
 * 'AUTH', with args beginning with: ...". It ends where the password begins. */
void fleet_access_hide(const struct fleet_access *a, char *error);

/* Leaves nothing of it in memory. */
void fleet_access_forget(struct fleet_access *a);

#endif
