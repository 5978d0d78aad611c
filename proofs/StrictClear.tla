---------------------------- MODULE StrictClear ----------------------------
(***************************************************************************)
(* The network reach: leases, acknowledgements, loads that end late,       *)
(* invalidation of everything and of a key, and a server that loses what   *)
(* it knew last.  README.md says what is assumed and what is left out.     *)
(*                                                                         *)
(* The cache has one key.  A value is told apart from others by two        *)
(* numbers: its birth, as the protocol stores it (the sequence that its    *)
(* node had obeyed when the load began), and what the protocol cannot see, *)
(* how many invalidations had been called when the load really began.      *)
(*                                                                         *)
(* Time is only ever compared with a moment noted before, by one clock, so *)
(* every clock here counts from such a moment and stops at D.              *)
(***************************************************************************)
EXTENDS Naturals, FiniteSets, TLC

CONSTANTS
    Nodes,              \* machines with an agent, a mirror and near copies
    Kinds,              \* kinds of invalidation: subset of {"clear", "key"}
    MaxInvalidations,   \* how many there are
    MaxFailovers,       \* how often the server loses what it knew last
    MaxTasks,           \* how many reads through and loads there are at a time
    D,                  \* for how many ticks a lease lasts
    Mutation            \* what is left out of the protocol; "none" for nothing

Invalidations == 1..MaxInvalidations
Nothing == [birth |-> 0, born |-> 0, there |-> FALSE]
NoLook == [inc |-> 0, head |-> 0, clear |-> 0, key |-> 0]

VARIABLES
    server,     \* the hash: [inc, head, clear, key, members, age]: age since the incarnation began
    values,     \* the values at the server: {[inc, gen, birth, born]}
    replica,    \* what the replica, or the disk, has of both
    agent,      \* of each node: what its agent is at, the age of its t0, and the answer it has
    mirror,     \* of each node: [inc, head, clear, key], as its agent wrote it
    lease,      \* of each node: for how many ticks its published lease still holds
    state,      \* of each node: its State: [inc, applied, gen, near]
    task,       \* of each node: a read through, or a load, under way
    calls,      \* how many invalidations were called
    clear,      \* of each invalidation: how far it is
    must,       \* the last invalidation that returned success
    failovers   \* how many there were

vars == <<server, values, replica, agent, mirror, lease, state, task, calls, clear, must, failovers>>
agents == <<agent, mirror, lease>>
clears == <<calls, clear, must, failovers>>

Idle == [pc |-> "idle", inc |-> 0, gen |-> 0, birth |-> 0, born |-> 0, must |-> 0, registered |-> FALSE]
NoClear == [pc |-> "none", inc |-> 0, sequence |-> 0, pending |-> {}, renewed |-> {}, mature |-> TRUE, waited |-> 0]

(* What a replica keeps that may ever be read again.  Of the hash, and of  *)
(* values whose names carry an incarnation that is over, nothing may; so   *)
(* they are left out unless that is just what a mutation changes.          *)
Copied(hash, found) ==
    [server |-> IF Mutation \in {"same incarnation", "members replicated"} THEN hash ELSE {},
     values |-> IF Mutation \in {"same incarnation", "bare get"} THEN found ELSE {}]

(* After the last call nobody asks for the members, or for maturity.       *)
Over == calls = MaxInvalidations

Capped(t) == IF t < D THEN t + 1 ELSE D
Max(a, b) == IF a > b THEN a ELSE b

Init ==
    /\ server = [inc |-> 1, head |-> 0, clear |-> 0, key |-> 0, members |-> {}, age |-> D]
    /\ values = {}
    /\ replica = Copied(server, values)
    /\ agent = [n \in Nodes |-> [pc |-> "idle", age |-> 0, got |-> NoLook]]
    /\ mirror = [n \in Nodes |-> [NoLook EXCEPT !.inc = 1]]
    /\ lease = [n \in Nodes |-> 0]
    /\ state = [n \in Nodes |-> [inc |-> 1, applied |-> 0, gen |-> 0, near |-> Nothing]]
    /\ task = [n \in Nodes |-> Idle]
    /\ calls = 0
    /\ clear = [c \in Invalidations |-> NoClear]
    /\ must = 0
    /\ failovers = 0

-----------------------------------------------------------------------------
(* Time.  A step may take as long as it likes: nothing hurries anybody.    *)

Tick ==
    /\ agent' = [n \in Nodes |-> IF agent[n].pc = "idle" THEN agent[n]
                                 ELSE [agent[n] EXCEPT !.age = Capped(@)]]
    /\ lease' = [n \in Nodes |-> IF lease[n] > 0 THEN lease[n] - 1 ELSE 0]
    /\ server' = [server EXCEPT !.age = IF Over THEN D ELSE Capped(@)]
    /\ clear' = [c \in Invalidations |-> IF clear[c].pc # "waiting" THEN clear[c]
                                         ELSE [clear[c] EXCEPT !.waited = Capped(@)]]
    /\ UNCHANGED <<values, replica, mirror, state, task, calls, must, failovers>>

-----------------------------------------------------------------------------
(* The agent of a node: note t0, renew, apply, acknowledge, publish.       *)

(* The script at the server.  The agent has noted t0 before; the age of t0 *)
(* counts from here, because the later t0 is the longer the lease lasts,   *)
(* and this is the latest that it may be.                                  *)
Renew(n) ==
    /\ agent[n].pc = "idle"
    /\ server' = IF Over THEN server ELSE [server EXCEPT !.members = @ \cup {n}]
    /\ agent' = [agent EXCEPT ![n] = [pc |-> "answered", age |-> 0,
                                      got |-> [inc |-> server.inc, head |-> server.head, clear |-> server.clear,
                                               key |-> server.key]]]
    /\ lease' = IF Mutation = "published first" THEN [lease EXCEPT ![n] = D] ELSE lease
    /\ clear' = [c \in Invalidations |-> IF /\ clear[c].pc = "waiting"
                                            /\ clear[c].inc = server.inc
                                            /\ c < MaxInvalidations    \* else nobody is expelled
                                         THEN [clear[c] EXCEPT !.renewed = @ \cup {n}] ELSE clear[c]]
    /\ UNCHANGED <<values, replica, mirror, state, task, calls, must, failovers>>

(* The records go into the mirror; another incarnation gets another file,  *)
(* and the lease is withdrawn before the old one is given up.              *)
Apply(n) ==
    /\ agent[n].pc = "answered"
    /\ mirror' = [mirror EXCEPT ![n] = agent[n].got]
    /\ lease' = [lease EXCEPT ![n] = IF mirror[n].inc = agent[n].got.inc THEN @ ELSE 0]
    /\ agent' = [agent EXCEPT ![n].pc = "applied",
                              ![n].age = IF Mutation = "late t0" THEN 0 ELSE @]
    /\ UNCHANGED <<server, values, replica, state, task, clears>>

(* At the server.  A member that it does not know any more gets no lease.  *)
(* A clear learns of it at once, which is the soonest that it can; so the  *)
(* table need not hold how far each member is.                             *)
Acknowledge(n) ==
    /\ agent[n].pc = "applied"
    /\ IF server.inc = agent[n].got.inc /\ (n \in server.members \/ Over)
       THEN /\ agent' = [agent EXCEPT ![n].pc = "acknowledged"]
            /\ clear' = [c \in Invalidations |->
                            IF clear[c].pc = "waiting" /\ clear[c].inc = server.inc
                               /\ clear[c].sequence <= agent[n].got.head
                            THEN [clear[c] EXCEPT !.pending = @ \ {n}] ELSE clear[c]]
       ELSE /\ agent' = [agent EXCEPT ![n] = [pc |-> "idle", age |-> 0, got |-> NoLook]]
            /\ UNCHANGED clear
    /\ UNCHANGED <<server, values, replica, mirror, lease, state, task, calls, must, failovers>>

Publish(n) ==
    /\ agent[n].pc = "acknowledged"
    /\ lease' = [lease EXCEPT ![n] = D - agent[n].age]
    /\ agent' = [agent EXCEPT ![n] = [pc |-> "idle", age |-> 0, got |-> NoLook]]
    /\ UNCHANGED <<server, values, replica, mirror, state, task, clears>>

(* An agent dies, or loses its connection, at any point; what it published stands. *)
Die(n) ==
    /\ agent[n].pc # "idle"
    /\ agent' = [agent EXCEPT ![n] = [pc |-> "idle", age |-> 0, got |-> NoLook]]
    /\ UNCHANGED <<server, values, replica, mirror, lease, state, task, clears>>

(* An agent that ends has withdrawn its lease before it says so.           *)
Leave(n) ==
    /\ agent[n].pc = "idle"
    /\ lease[n] = 0
    /\ n \in server.members
    /\ ~Over
    /\ MaxFailovers = 0    \* else the server forgets members anyway
    /\ server' = [server EXCEPT !.members = @ \ {n}]
    /\ UNCHANGED <<values, replica, agents, state, task, clears>>

-----------------------------------------------------------------------------
(* The State of a node, and what is read and loaded there.                 *)

Synced(n) ==
    /\ state[n].inc # 0
    /\ state[n].inc = mirror[n].inc
    /\ state[n].applied = mirror[n].head

(* A read may be served from here: the State has obeyed the mirror, and    *)
(* there is a lease, or the server has just said the same.                 *)
Ready(n) ==
    /\ Synced(n) \/ (Mutation = "head ignored" /\ state[n].inc # 0)
    /\ \/ lease[n] > 0
       \/ server.inc = mirror[n].inc /\ server.head = mirror[n].head

(* A clear is a new, empty State.  A key takes out what was born before,   *)
(* and detaches the load under way.                                        *)
Obey(n) ==
    LET new == mirror[n] old == state[n] IN
    /\ new.inc # 0
    /\ ~Synced(n)
    /\ IF new.inc # old.inc \/ new.clear > old.applied
       THEN state' = [state EXCEPT ![n] = [inc |-> new.inc, applied |-> new.head, gen |-> new.clear,
                                           near |-> Nothing]]
       ELSE state' = [state EXCEPT ![n].applied = new.head,
                                   ![n].near = IF @.there /\ @.birth < new.key THEN Nothing ELSE @]
    /\ task' = [task EXCEPT ![n] = IF @.pc \in {"copy", "kept"} THEN Idle ELSE [@ EXCEPT !.registered = FALSE]]
    /\ UNCHANGED <<server, values, replica, agents, clears>>

(* A load that begins after the last call yields what can never be old: it *)
(* could only replace what is old, so there is none.                       *)
Begin(n, pc) ==
    /\ task[n].pc = "idle"
    /\ Cardinality({m \in Nodes : task[m].pc # "idle"}) < MaxTasks
    /\ Ready(n)
    /\ ~state[n].near.there
    /\ pc = "load" => ~Over
    /\ task' = [task EXCEPT ![n] = [pc |-> pc, inc |-> state[n].inc, gen |-> state[n].gen,
                                    birth |-> IF pc = "load" THEN state[n].applied ELSE 0,
                                    born |-> IF pc = "load" THEN calls ELSE 0,
                                    must |-> IF pc = "load" THEN 0 ELSE must,
                                    registered |-> TRUE]]
    /\ UNCHANGED <<server, values, replica, agents, state, clears>>

(* What a read through finds under the name that it knows, if the server   *)
(* still is of the incarnation that the name carries.                      *)
Found(n) ==
    {v \in values : /\ v.inc = task[n].inc
                    /\ v.gen = task[n].gen
                    /\ Mutation = "bare get" \/ server.inc = task[n].inc}

(* A copy has the birth of its original, and is kept only where nothing    *)
(* was obeyed since the read began.                                        *)
Get(n) ==
    /\ task[n].pc = "get"
    /\ \E v \in Found(n) :
        task' = [task EXCEPT ![n] = IF @.registered
                                    THEN [Idle EXCEPT !.pc = "copy", !.birth = v.birth, !.born = v.born]
                                    ELSE Idle]
    /\ UNCHANGED <<server, values, replica, agents, state, clears>>

Copy(n) ==
    /\ task[n].pc = "copy"
    /\ ~state[n].near.there
    /\ state' = [state EXCEPT ![n].near = [birth |-> task[n].birth, born |-> task[n].born, there |-> TRUE]]
    /\ task' = [task EXCEPT ![n] = Idle]
    /\ UNCHANGED <<server, values, replica, agents, clears>>

(* The end of a load, at the server: refused if the name is dead, or the   *)
(* birth below the floor of the key.  It may come as late as it likes.     *)
Put(n) ==
    LET t == IF Mutation = "late birth"
             THEN [task[n] EXCEPT !.inc = state[n].inc, !.gen = state[n].gen, !.birth = state[n].applied]
             ELSE task[n]
        kept == \/ Mutation = "put always"
                \/ /\ server.inc = t.inc
                   /\ server.clear = t.gen
                   /\ server.key <= t.birth
    IN
    /\ task[n].pc = "load"
    /\ IF kept
       THEN /\ values' = {v \in values : v.inc # t.inc \/ v.gen # t.gen}
                         \cup {[inc |-> t.inc, gen |-> t.gen, birth |-> t.birth, born |-> t.born]}
            /\ task' = [task EXCEPT ![n] = IF t.registered
                                           THEN [Idle EXCEPT !.pc = "kept", !.birth = t.birth, !.born = t.born]
                                           ELSE Idle]
       ELSE /\ task' = [task EXCEPT ![n] = Idle]
            /\ UNCHANGED values
    /\ UNCHANGED <<server, replica, agents, state, clears>>

(* What was loaded is copied only by a load that is still registered, when *)
(* the State has obeyed the mirror once more.                              *)
Keep(n) ==
    /\ task[n].pc = "kept"
    /\ Synced(n)
    /\ state' = [state EXCEPT ![n].near = [birth |-> task[n].birth, born |-> task[n].born, there |-> TRUE]]
    /\ task' = [task EXCEPT ![n] = Idle]
    /\ UNCHANGED <<server, values, replica, agents, clears>>

Abandon(n) ==
    /\ task[n].pc # "idle"
    /\ task' = [task EXCEPT ![n] = Idle]
    /\ UNCHANGED <<server, values, replica, agents, state, clears>>

-----------------------------------------------------------------------------
(* An agent that has seen an incarnation for D marks it mature.  Nobody    *)
(* sees it before it begins, so this is the soonest that it can be mature. *)
Mature == server.age = D

(* An invalidation.  Its call and its script are one step here: a value    *)
(* whose load began between the two would be allowed, and is not.          *)

Call(kind) ==
    LET sequence == server.head + 1 c == calls + 1 IN
    /\ calls < MaxInvalidations
    /\ calls' = c
    /\ server' = [server EXCEPT !.head = sequence,
                                !.clear = IF kind = "clear" THEN sequence ELSE @,
                                !.key = IF kind = "key" THEN sequence ELSE @,
                                !.members = IF c = MaxInvalidations THEN {} ELSE @,
                                !.age = IF c = MaxInvalidations THEN D ELSE @]
    /\ values' = IF kind = "clear" THEN values
                 ELSE {v \in values : v.inc # server.inc \/ v.gen # server.clear}
    /\ clear' = [clear EXCEPT ![c] = [pc |-> "waiting", inc |-> server.inc, sequence |-> sequence,
                                      pending |-> server.members, renewed |-> {}, mature |-> Mature, waited |-> 0]]
    /\ UNCHANGED <<replica, agents, state, task, must, failovers>>

Succeed(c) ==
    /\ clear[c].pc = "waiting"
    /\ \/ clear[c].pending = {} /\ clear[c].mature
       \/ clear[c].waited = D
       \/ Mutation = "no acknowledgement"
    /\ clear' = [clear EXCEPT ![c] = [NoClear EXCEPT !.pc = "done"]]
    /\ must' = Max(must, c)
    /\ UNCHANGED <<server, values, replica, agents, state, task, calls, failovers>>

(* Who did not answer in time and has not renewed since has no lease.      *)
Expel(c, n) ==
    /\ clear[c].pc = "waiting"
    /\ clear[c].waited = D
    /\ clear[c].inc = server.inc
    /\ ~Over
    /\ n \in (clear[c].pending \cap server.members) \ clear[c].renewed
    /\ server' = [server EXCEPT !.members = @ \ {n}]
    /\ UNCHANGED <<values, replica, agents, state, task, clears>>

-----------------------------------------------------------------------------
(* The replica has what the server had at some moment; then it is the      *)
(* server.  A restart from the disk is the same, and so is FLUSHALL: the   *)
(* replica never had anything.                                             *)

Replicate ==
    /\ failovers < MaxFailovers
    /\ replica # Copied(server, values)
    /\ replica' = Copied(server, values)
    /\ UNCHANGED <<server, values, agents, state, task, clears>>

(* The first script sees that the identity is another one, drops the hash  *)
(* and begins an incarnation.                                              *)
Failover ==
    /\ failovers < MaxFailovers
    /\ failovers' = failovers + 1
    /\ LET known == replica.server
           fresh == [inc |-> server.inc + 1, head |-> 0, clear |-> 0, key |-> 0, members |-> {},
                     age |-> IF Over THEN D ELSE 0]
       IN server' = IF Mutation = "same incarnation" THEN [known EXCEPT !.age = D]
                    ELSE IF Mutation = "members replicated"
                         THEN [fresh EXCEPT !.members = IF Over THEN {} ELSE known.members, !.age = D]
                    ELSE IF Mutation = "born mature" THEN [fresh EXCEPT !.age = D]
                    ELSE fresh
    /\ values' = replica.values
    /\ replica' = Copied(server', {})
    /\ clear' = [c \in Invalidations |-> IF clear[c].pc # "waiting" THEN clear[c]
                                         ELSE [clear[c] EXCEPT !.mature = FALSE, !.pending = {}, !.renewed = {}]]
    /\ UNCHANGED <<agents, state, task, calls, must>>

-----------------------------------------------------------------------------
Next ==
    \/ Tick
    \/ \E n \in Nodes :
        \/ Renew(n) \/ Apply(n) \/ Acknowledge(n) \/ Publish(n) \/ Die(n) \/ Leave(n)
        \/ Obey(n) \/ Begin(n, "get") \/ Begin(n, "load") \/ Get(n) \/ Copy(n) \/ Put(n) \/ Keep(n)
        \/ Abandon(n)
    \/ \E kind \in Kinds : Call(kind)
    \/ \E c \in Invalidations : Succeed(c) \/ \E n \in Nodes : Expel(c, n)
    \/ Replicate
    \/ Failover

Spec == Init /\ [][Next]_vars

(* After the last call only what was loaded before can be old; once that   *)
(* is gone from everywhere there is nothing left to look for.              *)
StillOld ==
    \/ ~Over
    \/ values # {} \/ replica.values # {}
    \/ \E n \in Nodes : state[n].near.there \/ task[n].pc # "idle"

Symmetry == Permutations(Nodes)

-----------------------------------------------------------------------------
(* birth(value served by a read that starts after an invalidation returned *)
(* success) >= its call.  Said of every state, for each way that there is  *)
(* to serve a value at this moment.                                        *)

(* A read that starts now and finds a near copy.                           *)
NearCopiesAreNotOld ==
    \A n \in Nodes : Ready(n) /\ state[n].near.there => state[n].near.born >= must

(* A read that starts now and joins a load.                                *)
LoadsAreNotOld ==
    \A n \in Nodes : Ready(n) /\ (task[n].pc = "kept" \/ (task[n].pc = "load" /\ task[n].registered)) => task[n].born >= must

(* A read that went to the server, and started when `must` was this.       *)
StoredValuesAreNotOld ==
    \A n \in Nodes : task[n].pc = "get" => \A v \in Found(n) : v.born >= task[n].must

StrictClear == NearCopiesAreNotOld /\ LoadsAreNotOld /\ StoredValuesAreNotOld

=============================================================================
