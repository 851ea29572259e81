/* askproto: how postlane(1) asks a lane that runs.
 *
 *   postlane -- "VERB [ARGUMENT]...\n" --> lane
 *            <-- one line ---------------
 *
 * The socket ASKPROTO_PREFIX + hash of the lane's name, in its
 * lane_state_directory, which only root and mail_owner may enter. A lane that
 * starts takes the name over; one that ended leaves it, and nobody answers. The
 * answer is the word "ok" and more, or "error" and a sentence; one connection
 * is one question.
 *
 *   steer           the file steer has changed: "ok SERIAL [REMARK]"
 *   retry           dial now, call back what was deferred: "ok [REMARK]"
 *   why ID [RCPT]   what a message waits for: "ok JSON" (agent/why.h)
 *   trace [RCPT]    the dialogue of its sessions, until who asks hangs up:
 * "ok", and lines without end (agent/operator/dialogue.h)
 */
#ifndef ASKPROTO_H
#define ASKPROTO_H

#define ASKPROTO_PREFIX "ask."

enum {
	ASKPROTO_QUESTION_MAX = 1024,
	ASKPROTO_ANSWER_MAX = 65536,
	ASKPROTO_WAIT_MS = 2000, /* patience of who asks */
};

#endif
