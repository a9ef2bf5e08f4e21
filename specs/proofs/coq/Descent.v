(** * Descent: who is derived from whom, over any number of steps

    [revoke_is_complete] says that nothing is left below a revoked slot. Here is the other half: that what was copied,
    minted or retyped from a cap *is* below it, and stays there, whoever copies it on and moves it where, until it is
    deleted or revoked from above. Together: no copy outlives Revoke.

    - [slots_stay_distinct]: no slot holds two caps.
    - [descent_survives]: an operation ends nobody's descent but of what it destroys.
    - [what_is_made_descends], [kids_descend]: a new cap descends from all that its source descends from, and from its
      source, if that is an original or an untyped.
    - [family_is_below]: so after any number of steps.
    - [no_copy_outlives_revoke]: T5 for copies of copies, made and moved at any time. *)

Require Import List Arith Lia Bool.
Require Import Capabilities.
Import ListNotations.
Set Implicit Arguments.

(** ** Below *)

Definition all_slots (f : forest) : list slot := flat_map slots f.

(** [below a d t]: in the tree [t] the slot [d] is somewhere under the slot [a]. *)
Inductive below (a d : slot) : tree -> Prop :=
| Here : forall o c kids, In d (all_slots kids) -> below a d (Node a o c kids)
| Deeper : forall s o c kids, Exists (below a d) kids -> below a d (Node s o c kids).

Definition descends (f : forest) (a d : slot) : Prop := Exists (below a d) f.

Lemma in_all_slots : forall f d, In d (all_slots f) <-> exists t, In t f /\ In d (slots t).
Proof. intros. unfold all_slots. apply in_flat_map. Qed.

Lemma descendant_is_there : forall a d t, below a d t -> In d (slots t).
Proof.
  intros a d t. induction t as [s o c kids IH] using tree_rect'. intros B.
  inversion B as [? ? ? H | ? ? ? ? H]; subst; simpl; right; auto.
  apply Exists_exists in H as (k & K & H). rewrite Forall_forall in IH. apply in_flat_map. eauto.
Qed.

Lemma ancestor_is_there : forall a d t, below a d t -> In a (slots t).
Proof.
  intros a d t. induction t as [s o c kids IH] using tree_rect'. intros B.
  inversion B as [? ? ? H | ? ? ? ? H]; subst; simpl; auto. right.
  apply Exists_exists in H as (k & K & H). rewrite Forall_forall in IH. apply in_flat_map. eauto.
Qed.

Lemma occupied_in : forall f s, occupied f s = true <-> In s (all_slots f).
Proof.
  intros. unfold occupied. rewrite existsb_exists. split.
  - intros (x & X & E). apply Nat.eqb_eq in E. subst. auto.
  - intros H. exists s. split; auto. apply Nat.eqb_refl.
Qed.

Lemma unoccupied_in : forall f s, occupied f s = false <-> ~ In s (all_slots f).
Proof.
  intros f s. rewrite <- occupied_in. destruct (occupied f s); split; congruence || tauto.
Qed.

(** ** No slot holds two caps *)

Definition count (f : forest) (s : slot) : nat := count_occ Nat.eq_dec (all_slots f) s.

Definition distinct (f : forest) : Prop := NoDup (all_slots f).

Lemma count_app : forall f g s, count (f ++ g) s = count f s + count g s.
Proof. intros. unfold count, all_slots. rewrite flat_map_app. apply count_occ_app. Qed.

Lemma count_cons : forall t f s, count (t :: f) s = count [t] s + count f s.
Proof. intros. apply (count_app [t] f). Qed.

Lemma count_node : forall s o c kids x, count [Node s o c kids] x = (if Nat.eq_dec s x then 1 else 0) + count kids x.
Proof.
  intros. unfold count, all_slots. simpl. rewrite app_nil_r. destruct (Nat.eq_dec s x); simpl; reflexivity.
Qed.

Lemma distinct_count : forall f, distinct f <-> forall s, count f s <= 1.
Proof. intros. unfold distinct, count. apply NoDup_count_occ. Qed.

Lemma absent_count : forall f s, ~ In s (all_slots f) <-> count f s = 0.
Proof. intros. unfold count. apply count_occ_not_In. Qed.

(** [more x]: how often an operation may add the slot [x] beside each node that it edits. *)
Lemma edit_counts : forall g s more,
  (forall t, slot_of t = s -> forall x, count (g t) x <= count [t] x + more x) ->
  forall t x, count (edit g s t) x <= count [t] x + more x * count [t] s.
Proof.
  intros g s more G t. induction t as [s' o c kids IH] using tree_rect'. intros x. simpl.
  destruct (Nat.eqb_spec s s') as [E | E].
  - subst s'. specialize (G (Node s o c kids) eq_refl x). rewrite (count_node s o c kids s).
    destruct (Nat.eq_dec s s); [nia | tauto].
  - assert (K : count (flat_map (edit g s) kids) x <= count kids x + more x * count kids s).
    { clear E. induction kids as [| k kids IHk]; simpl; [unfold count; simpl; lia |].
      inversion IH as [| ? ? Hk Hl]; subst. specialize (IHk Hl). specialize (Hk x).
      rewrite count_app, (count_cons k kids x), (count_cons k kids s). nia. }
    rewrite !count_node. destruct (Nat.eq_dec s' s); [congruence |]. lia.
Qed.

Lemma edits_count : forall g s more,
  (forall t, slot_of t = s -> forall x, count (g t) x <= count [t] x + more x) ->
  forall f x, count (flat_map (edit g s) f) x <= count f x + more x * count f s.
Proof.
  intros g s more G f x. induction f as [| t f IH]; simpl; [unfold count; simpl; lia |].
  pose proof (@edit_counts g s more G t x). rewrite count_app, (count_cons t f x), (count_cons t f s). nia.
Qed.

Definition one (dst x : slot) : nat := if Nat.eq_dec dst x then 1 else 0.

Lemma same_count : forall t x dst, count [t] x <= count [t] x + one dst x.
Proof. intros; lia. Qed.

Lemma count_pair : forall t u x, count [t; u] x = count [t] x + count [u] x.
Proof. intros. apply (count_app [t] [u]). Qed.

Lemma count_none : forall x, count [] x = 0.
Proof. reflexivity. Qed.

Ltac counting :=
  rewrite ?count_pair, ?count_node, ?count_none;
  try match goal with |- context [count (?t :: ?l) ?x] => rewrite (count_cons t l x) end;
  rewrite ?count_node, ?count_none; unfold one;
  repeat match goal with |- context [Nat.eq_dec ?a ?b] => destruct (Nat.eq_dec a b) end; lia.

Lemma derive_counts : forall dst m g t x, count (derive dst m g t) x <= count [t] x + one dst x.
Proof.
  intros dst m g [s o [b n u | b n r bd] kids] x; simpl.
  - destruct kids; [counting | apply same_count].
  - match goal with |- context [if ?refused then [Node _ _ _ _] else _] => destruct refused; [apply same_count |] end.
    destruct o; counting.
Qed.

Lemma retype_counts : forall dst at_ n what t x, count (retype dst at_ n what t) x <= count [t] x + one dst x.
Proof.
  intros dst at_ n what [s o [b m u | b m r bd] kids] x; simpl; [| apply same_count].
  destruct ((u <=? at_) && (at_ + n <=? m)); [counting | apply same_count].
Qed.

Lemma move_counts : forall dst t x, count (move dst t) x <= count [t] x + one dst x.
Proof. intros dst [s o c kids] x. unfold move. simpl. counting. Qed.

Definition none (x : slot) : nat := 0.

Lemma delete_counts : forall t x, count (delete t) x <= count [t] x + none x.
Proof. intros [s o c kids] x. unfold delete, none. simpl. counting. Qed.

Lemma revoke_counts : forall t x, count (revoke t) x <= count [t] x + none x.
Proof. intros [s o c kids] x. unfold revoke, none. simpl. counting. Qed.

Lemma reset_counts : forall t x, count (reset t) x <= count [t] x + none x.
Proof. intros [s o [b n u | b n r g] [| k kids]] x; unfold none; simpl; lia || counting. Qed.

Theorem slots_stay_distinct : forall f o, distinct f -> distinct (perform f o).
Proof.
  intros f o D. rewrite distinct_count in *.
  assert (I : forall dst g s, (forall t, slot_of t = s -> forall x, count (g t) x <= count [t] x + one dst x) ->
              forall x, count (into f dst g s) x <= 1).
  { intros dst g s G x. unfold into. destruct (occupied f dst) eqn:O; auto.
    apply unoccupied_in, absent_count in O. pose proof (@edits_count g s (one dst) G f x) as C.
    pose proof (D x). pose proof (D s). unfold one in C. destruct (Nat.eq_dec dst x); [subst; lia | lia]. }
  assert (E : forall g s, (forall t, slot_of t = s -> forall x, count (g t) x <= count [t] x + none x) ->
              forall x, count (flat_map (edit g s) f) x <= 1).
  { intros g s G x. pose proof (@edits_count g s none G f x) as C. pose proof (D x). unfold none in C. lia. }
  destruct o; simpl; auto using derive_counts, move_counts, retype_counts, delete_counts, revoke_counts, reset_counts.
Qed.

Theorem slots_are_distinct : forall ops f, distinct f -> distinct (run f ops).
Proof. induction ops; simpl; intros; auto. apply IHops, slots_stay_distinct; auto. Qed.

(** ** What ends a descent *)

(** What an operation destroys. *)
Definition gone (f : forest) (o : op) (s : slot) : Prop :=
  match o with Delete x => s = x | Revoke x => descends f x s | _ => False end.

(** Where what was in a slot is after an operation. *)
Definition place (f : forest) (o : op) (s : slot) : slot :=
  match o with Move x y => if negb (occupied f y) && Nat.eqb s x then y else s | _ => s end.

(** [keeps K n s g]: at the slot [s], [g] keeps every descent of slots that [K] speaks for; a slot [x] becomes [n x]. *)
Record keeps (K : tree -> slot -> Prop) (n : slot -> slot) (s : slot) (g : tree -> list tree) : Prop := {
  only_here : forall x, x <> s -> n x = x;
  inwards : forall t k d, K t d -> In k (kids_of t) -> K k d;
  there : forall t d, slot_of t = s -> NoDup (slots t) -> In d (slots t) -> K t d -> In (n d) (all_slots (g t));
  beneath : forall t a d, slot_of t = s -> NoDup (slots t) -> below a d t -> K t a -> K t d ->
            Exists (below (n a) (n d)) (g t)
}.

Lemma nodup_app : forall l m : list slot, NoDup (l ++ m) -> NoDup l /\ NoDup m /\ forall x, In x l -> ~ In x m.
Proof.
  induction l as [| y l IH]; simpl; intros m D; [repeat split; auto; constructor |].
  inversion D as [| ? ? N R]; subst. destruct (IH _ R) as (L & M & A). rewrite in_app_iff in N.
  repeat split; auto; [constructor; tauto |]. intros x [<- | X]; auto.
Qed.

Lemma distinct_one : forall t f, distinct f -> In t f -> NoDup (slots t).
Proof.
  intros t f D T. unfold distinct, all_slots in D. induction f as [| u f IH]; [contradiction |].
  simpl in *. destruct (nodup_app _ _ D) as (Du & Df & _). destruct T as [-> | T]; auto.
Qed.

Lemma distinct_kids : forall s o c kids, NoDup (slots (Node s o c kids)) -> distinct kids /\ ~ In s (all_slots kids).
Proof. intros s o c kids D. simpl in D. inversion D; subst. split; auto. Qed.

(** A slot that two trees of a forest hold is held by one tree. *)
Lemma one_holder : forall f t u s, distinct f -> In t f -> In u f -> In s (slots t) -> In s (slots u) -> t = u.
Proof.
  intros f t u s D T U St Su. unfold distinct, all_slots in D. induction f as [| v f IH]; [contradiction |].
  simpl in D, T, U. destruct (nodup_app _ _ D) as (_ & Df & A).
  assert (N : forall w, In w f -> In s (slots w) -> ~ In s (slots v)).
  { intros w W Sw Sv. apply (A _ Sv). apply in_flat_map. eauto. }
  destruct T as [-> | T], U as [-> | U]; auto; exfalso; eapply N; eauto.
Qed.

Lemma edit_keeps_slots : forall K n s g, keeps K n s g ->
  forall t d, NoDup (slots t) -> In d (slots t) -> K t d -> In (n d) (all_slots (edit g s t)).
Proof.
  intros K n s g G t. induction t as [s' o c kids IH] using tree_rect'. intros d D I Kd. simpl.
  destruct (Nat.eqb_spec s s') as [E | E]; [apply (there G); auto |].
  destruct (distinct_kids D) as (Dk & _). unfold all_slots. simpl. rewrite app_nil_r.
  destruct I as [I | I].
  - subst d. left. symmetry. apply (only_here G). congruence.
  - right. apply in_flat_map in I as (k & Ik & I). rewrite Forall_forall in IH.
    assert (H : In (n d) (all_slots (edit g s k))).
    { apply IH; auto; [eapply distinct_one; eauto | eapply (inwards G); eauto]. }
    apply in_flat_map in H as (x & X & H). apply in_flat_map. exists x. split; auto.
    apply in_flat_map. exists k. auto.
Qed.

Lemma edit_keeps_descent : forall K n s g, keeps K n s g ->
  forall t a d, NoDup (slots t) -> below a d t -> K t a -> K t d -> Exists (below (n a) (n d)) (edit g s t).
Proof.
  intros K n s g G t. induction t as [s' o c kids IH] using tree_rect'. intros a d D B Ka Kd. simpl.
  destruct (Nat.eqb_spec s s') as [E | E]; [apply (beneath G); auto |].
  destruct (distinct_kids D) as (Dk & _). left.
  inversion B as [? ? ? H | ? ? ? ? H]; subst.
  - rewrite (only_here G) by congruence. apply Here. apply in_all_slots in H as (k & Ik & H).
    assert (J : In (n d) (all_slots (edit g s k))).
    { eapply edit_keeps_slots; eauto; [eapply distinct_one; eauto | eapply (inwards G); eauto]. }
    apply in_all_slots in J as (x & X & J). apply in_all_slots. exists x. split; auto. apply in_flat_map; eauto.
  - apply Deeper. apply Exists_exists in H as (k & Ik & H). rewrite Forall_forall in IH.
    assert (J : Exists (below (n a) (n d)) (edit g s k)).
    { apply IH; auto; [eapply distinct_one; eauto | eapply (inwards G); eauto | eapply (inwards G); eauto]. }
    apply Exists_exists in J as (x & X & J). apply Exists_exists. exists x. split; auto. apply in_flat_map; eauto.
Qed.

Lemma edits_keep_descent : forall K n s g f, keeps K n s g -> distinct f ->
  forall a d, descends f a d -> (forall t, In t f -> K t a /\ K t d) -> descends (flat_map (edit g s) f) (n a) (n d).
Proof.
  intros K n s g f G D a d B Kf. apply Exists_exists in B as (t & T & B). destruct (Kf _ T).
  assert (J : Exists (below (n a) (n d)) (edit g s t)).
  { eapply edit_keeps_descent; eauto. eapply distinct_one; eauto. }
  apply Exists_exists in J as (x & X & J). apply Exists_exists. exists x. split; auto. apply in_flat_map; eauto.
Qed.

Definition any (t : tree) (d : slot) : Prop := True.
Definition same (s : slot) : slot := s.

(** An operation that leaves the node where it is, with its kids and perhaps one more. *)
Lemma staying_keeps : forall s g,
  (forall t, exists o c more rest, g t = Node (slot_of t) o c (more ++ kids_of t) :: rest) -> keeps any same s g.
Proof.
  intros s g G. split; unfold any, same; auto.
  - intros [s' o c kids] d E _ I _. destruct (G (Node s' o c kids)) as (o' & c' & more & rest & ->). simpl in *.
    unfold all_slots. simpl. destruct I as [I | I]; auto. right. rewrite flat_map_app. rewrite !in_app_iff. auto.
  - intros [s' o c kids] a d E _ B _ _. destruct (G (Node s' o c kids)) as (o' & c' & more & rest & ->). simpl. left.
    inversion B as [? ? ? H | ? ? ? ? H]; subst.
    + apply Here. unfold all_slots. rewrite flat_map_app. apply in_or_app; auto.
    + apply Deeper. apply Exists_app; auto.
Qed.

Lemma derive_keeps : forall s dst m g, keeps any same s (derive dst m g).
Proof.
  intros. apply staying_keeps. intros [s' o [b n u | b n r bd] kids]; simpl.
  - destruct kids as [| k kids]; [exists o, (Untyped b n n), [Node dst true (Untyped b n (min u n)) []], [] |
      exists o, (Untyped b n u), [], []]; reflexivity.
  - match goal with |- context [if ?refused then [Node _ _ _ _] else _] => destruct refused end;
      [exists o, (Object b n r bd), [], []; reflexivity |].
    destruct o; [eexists _, _, [_], []; reflexivity | eexists _, _, [], [_]; reflexivity].
Qed.

Lemma retype_keeps : forall s dst at_ n what, keeps any same s (retype dst at_ n what).
Proof.
  intros. apply staying_keeps. intros [s' o [b m u | b m r bd] kids]; simpl.
  - destruct ((u <=? at_) && (at_ + n <=? m)); [eexists _, _, [_], []; reflexivity |
      eexists _, _, [], []; reflexivity].
  - eexists _, _, [], []; reflexivity.
Qed.

Lemma reset_keeps : forall s, keeps any same s reset.
Proof.
  intros. apply staying_keeps. intros [s' o [b n u | b n r bd] [| k kids]]; simpl;
    eexists _, _, [], []; reflexivity.
Qed.

Lemma move_keeps : forall s dst, keeps any (fun x => if Nat.eqb x s then dst else x) s (move dst).
Proof.
  intros s dst. split; unfold any; auto.
  - intros x N. apply Nat.eqb_neq in N. rewrite N. reflexivity.
  - intros [s' o c kids] d E D I _. simpl in *. subst s'. unfold all_slots. simpl. rewrite app_nil_r.
    destruct (Nat.eqb_spec d s); [auto |]. destruct I as [I | I]; [congruence | auto].
  - intros [s' o c kids] a d E D B _ _. simpl in E. subst s'. destruct (distinct_kids D) as (_ & N).
    assert (O : forall x, In x (all_slots kids) -> (if Nat.eqb x s then dst else x) = x).
    { intros x X. destruct (Nat.eqb_spec x s); [congruence | auto]. }
    unfold move. simpl. left. inversion B as [? ? ? H | ? ? ? ? H]; subst.
    + rewrite Nat.eqb_refl, O by auto. apply Here; auto.
    + apply Exists_exists in H as (k & Ik & H). pose proof (ancestor_is_there H). pose proof (descendant_is_there H).
      rewrite !O by (apply in_all_slots; eauto). apply Deeper. apply Exists_exists. eauto.
Qed.

Lemma delete_keeps : forall s, keeps (fun _ d => d <> s) same s delete.
Proof.
  intros s. split; unfold same; auto.
  - intros [s' o c kids] d E _ I N. simpl in *. subst s'. destruct I as [I | I]; [congruence | auto].
  - intros [s' o c kids] a d E _ B Na Nd. simpl in *. subst s'.
    inversion B as [? ? ? H | ? ? ? ? H]; subst; [congruence | auto].
Qed.

Lemma revoke_keeps : forall s, keeps (fun t d => ~ below s d t) same s revoke.
Proof.
  intros s. split; unfold same; auto.
  - intros [s' o c kids] k d N I B. apply N. apply Deeper. apply Exists_exists. eauto.
  - intros [s' o c kids] d E _ I N. simpl in *. subst s'. destruct I as [I | I]; [auto |].
    exfalso. apply N, Here; auto.
  - intros [s' o c kids] a d E _ B Na Nd. simpl in E. subst s'. exfalso. apply Nd, Here.
    inversion B as [? ? ? H | ? ? ? ? H]; subst; auto.
    apply Exists_exists in H as (k & Ik & H). apply in_all_slots. eauto using descendant_is_there.
Qed.

(** An operation ends no descent but of what it destroys. *)
Theorem descent_survives : forall f o a d, distinct f -> descends f a d -> ~ gone f o a -> ~ gone f o d ->
  descends (perform f o) (place f o a) (place f o d).
Proof.
  intros f o a d D B Ga Gd.
  assert (I : forall dst g s, keeps any same s g -> descends (into f dst g s) a d).
  { intros dst g s G. unfold into. destruct (occupied f dst); auto.
    apply (edits_keep_descent G D B). unfold any; auto. }
  destruct o as [src dst m | src dst m bd | src dst | s | s | src dst at_ n | src dst at_ n | s]; simpl in *;
    auto using derive_keeps, retype_keeps.
  - unfold into. destruct (occupied f dst); simpl; auto.
    apply (edits_keep_descent (move_keeps src dst) D B). unfold any; auto.
  - apply (edits_keep_descent (delete_keeps s) D B). auto.
  - apply (edits_keep_descent (revoke_keeps s) D B). intros t T.
    split; intros H; [apply Ga | apply Gd]; apply Exists_exists; eauto.
  - apply (edits_keep_descent (reset_keeps s) D B). unfold any; auto.
Qed.

(** ** What begins a descent *)

(** From which slot into which an operation derives a cap. *)
Definition derives (o : op) : option (slot * slot) :=
  match o with
  | Copy src dst _ | Mint src dst _ _ | Retype src dst _ _ | RetypeUntyped src dst _ _ => Some (src, dst)
  | Move _ _ | Delete _ | Revoke _ | Reset _ => None
  end.

(** The operation makes a cap in the empty slot [d] of the one in [s]. *)
Definition makes (f : forest) (o : op) (s d : slot) : Prop :=
  derives o = Some (s, d) /\ occupied f d = false /\ occupied (perform f o) d = true.

(** All nodes of a forest. *)
Definition all_nodes (f : forest) : list tree := flat_map nodes f.

(** What is made of the cap in [s] becomes its kid: it is an original, or an untyped. *)
Definition gives (f : forest) (s : slot) : Prop :=
  exists t, In t (all_nodes f) /\ slot_of t = s /\ (original_of t = true \/ ~ is_object (cap_of t)).

Lemma node_is_there : forall t x, In x (nodes t) -> In (slot_of x) (slots t).
Proof.
  intros t. induction t as [s o c kids IH] using tree_rect'. intros x X. simpl in *. destruct X as [<- | X]; auto.
  right. apply in_flat_map in X as (k & K & X). rewrite Forall_forall in IH. apply in_flat_map. eauto.
Qed.

Lemma edit_elsewhere : forall g s t, ~ In s (slots t) -> edit g s t = [t].
Proof.
  intros g s t. induction t as [s' o c kids IH] using tree_rect'. intros N. simpl in *.
  destruct (Nat.eqb_spec s s') as [E | E]; [exfalso; auto |]. f_equal. f_equal.
  assert (N' : ~ In s (all_slots kids)) by (unfold all_slots; tauto). clear N.
  induction kids as [| k kids IHk]; auto. inversion IH as [| ? ? Hk Hl]; subst. simpl.
  unfold all_slots in N'. simpl in N'. rewrite in_app_iff in N'. rewrite Hk by tauto. simpl. f_equal. auto.
Qed.

(** Where a new slot comes from: the tree that held the source. *)
Lemma new_slot_from : forall g s f d, ~ In d (all_slots f) -> In d (all_slots (flat_map (edit g s) f)) ->
  exists t, In t f /\ In s (slots t) /\ In d (all_slots (edit g s t)).
Proof.
  intros g s f d N I. apply in_all_slots in I as (x & X & I). apply in_flat_map in X as (t & T & X).
  exists t. repeat split; auto; [| apply in_all_slots; eauto].
  destruct (in_dec Nat.eq_dec s (slots t)) as [Y | Y]; auto. exfalso.
  rewrite edit_elsewhere in X by auto. destruct X as [<- | X]; [| contradiction].
  apply N. apply in_all_slots. eauto.
Qed.

Lemma edit_adds_below : forall g s a d t, NoDup (slots t) -> ~ In d (slots t) -> below a s t ->
  In d (all_slots (edit g s t)) -> Exists (below a d) (edit g s t).
Proof.
  intros g s a d t. induction t as [s' o c kids IH] using tree_rect'. intros D N B I.
  destruct (distinct_kids D) as (Dk & Ns). simpl in *.
  assert (S : In s (all_slots kids)).
  { inversion B as [? ? ? H | ? ? ? ? H]; subst; auto. apply Exists_exists in H as (k & K & H).
    apply in_all_slots. eauto using descendant_is_there. }
  destruct (Nat.eqb_spec s s') as [E | E]; [congruence |].
  unfold all_slots in I. simpl in I. rewrite app_nil_r in I. destruct I as [I | I]; [tauto |].
  left. inversion B as [? ? ? H | ? ? ? ? H]; subst; [apply Here; auto |].
  apply Deeper. apply Exists_exists in H as (k & K & H).
  destruct (@new_slot_from g s kids d) as (u & U & Su & J); auto.
  assert (u = k) by (eapply one_holder; eauto using descendant_is_there). subst u.
  rewrite Forall_forall in IH. assert (X : Exists (below a d) (edit g s k)).
  { apply IH; auto; [eapply distinct_one; eauto |]. intros Y. apply N. right. apply in_flat_map; eauto. }
  apply Exists_exists in X as (x & X & Y). apply Exists_exists. exists x. split; auto. apply in_flat_map; eauto.
Qed.

Lemma edits_add_below : forall g s a d f, distinct f -> ~ In d (all_slots f) -> descends f a s ->
  In d (all_slots (flat_map (edit g s) f)) -> descends (flat_map (edit g s) f) a d.
Proof.
  intros g s a d f D N B I. apply Exists_exists in B as (t & T & B).
  destruct (@new_slot_from g s f d N I) as (u & U & Su & J).
  assert (u = t) by (eapply one_holder; eauto using descendant_is_there). subst u.
  assert (X : Exists (below a d) (edit g s t)).
  { apply edit_adds_below; auto; [eapply distinct_one; eauto |]. intros Y. apply N, in_all_slots; eauto. }
  apply Exists_exists in X as (x & X & Y). apply Exists_exists. exists x. split; auto. apply in_flat_map; eauto.
Qed.

(** How the kids of an original come about. *)
Definition adds_kid (g : tree -> list tree) (d : slot) : Prop :=
  forall t, original_of t = true \/ ~ is_object (cap_of t) -> ~ In d (slots t) -> In d (all_slots (g t)) ->
  exists o c kids rest, g t = Node (slot_of t) o c kids :: rest /\ In d (all_slots kids).

Lemma edit_adds_kid : forall g s d, adds_kid g d ->
  forall t x, NoDup (slots t) -> ~ In d (slots t) -> In x (nodes t) -> slot_of x = s ->
  original_of x = true \/ ~ is_object (cap_of x) ->
  In d (all_slots (edit g s t)) -> Exists (below s d) (edit g s t).
Proof.
  intros g s d G t. induction t as [s' o c kids IH] using tree_rect'. intros x D N X E O I.
  destruct (distinct_kids D) as (Dk & Ns). simpl in *. destruct X as [<- | X].
  - simpl in E. subst s'. rewrite Nat.eqb_refl in *.
    destruct (G _ O N I) as (o' & c' & kids' & rest & -> & H). left. apply Here; auto.
  - apply in_flat_map in X as (k & K & X).
    assert (S : In s (slots k)) by (subst s; apply node_is_there; auto).
    assert (E' : s <> s') by (intros ->; apply Ns, in_all_slots; eauto).
    apply Nat.eqb_neq in E'. rewrite E' in *. unfold all_slots in I. simpl in I. rewrite app_nil_r in I.
    destruct I as [I | I]; [tauto |]. left. apply Deeper.
    destruct (@new_slot_from g s kids d) as (u & U & Su & J); auto.
    assert (u = k) by (eapply one_holder; eauto). subst u. rewrite Forall_forall in IH.
    assert (Y : Exists (below s d) (edit g s k)).
    { eapply IH; eauto; [eapply distinct_one; eauto |]. intros Y. apply N. right. apply in_flat_map; eauto. }
    apply Exists_exists in Y as (y & Y & H). apply Exists_exists. exists y. split; auto. apply in_flat_map; eauto.
Qed.

Lemma edits_add_kid : forall g s d f, adds_kid g d -> distinct f -> ~ In d (all_slots f) -> gives f s ->
  In d (all_slots (flat_map (edit g s) f)) -> descends (flat_map (edit g s) f) s d.
Proof.
  intros g s d f G D N (x & X & E & O) I. apply in_flat_map in X as (t & T & X).
  destruct (@new_slot_from g s f d N I) as (u & U & Su & J).
  assert (u = t) by (eapply one_holder; eauto; subst s; apply node_is_there; auto). subst u.
  assert (Y : Exists (below s d) (edit g s t)).
  { eapply edit_adds_kid; eauto; [eapply distinct_one; eauto |]. intros Y. apply N, in_all_slots; eauto. }
  apply Exists_exists in Y as (y & Y & H). apply Exists_exists. exists y. split; auto. apply in_flat_map; eauto.
Qed.

Lemma unchanged_adds : forall t d (P : Prop), ~ In d (slots t) -> In d (all_slots [t]) -> P.
Proof. intros t d P N I. exfalso. apply N. unfold all_slots in I. simpl in I. rewrite app_nil_r in I. auto. Qed.

Lemma derive_adds_kid : forall dst m g, adds_kid (derive dst m g) dst.
Proof.
  intros dst m g [s o [b n u | b n r bd] kids] O N I; simpl in O, I.
  - destruct kids as [| k kids]; [| exact (@unchanged_adds _ _ _ N I)].
    do 4 eexists. simpl. split; [reflexivity |]. simpl. auto.
  - destruct O as [-> | O]; [| exfalso; apply O; exact Logic.I]. simpl in I |- *.
    match type of I with context [if ?refused then [Node _ _ _ _] else _] => destruct refused end;
      [exact (@unchanged_adds _ _ _ N I) |].
    do 4 eexists. split; [reflexivity |]. simpl. auto.
Qed.

Lemma retype_adds_kid : forall dst at_ n what, adds_kid (retype dst at_ n what) dst.
Proof.
  intros dst at_ n what [s o [b m u | b m r bd] kids] O N I; simpl in I |- *; [| exact (@unchanged_adds _ _ _ N I)].
  destruct ((u <=? at_) && (at_ + n <=? m)); [| exact (@unchanged_adds _ _ _ N I)].
  do 4 eexists. split; [reflexivity |]. simpl. auto.
Qed.

(** What making is: an edit of the source. *)
Lemma making : forall f o s d, makes f o s d ->
  exists g, perform f o = flat_map (edit g s) f /\ adds_kid g d /\ ~ In d (all_slots f) /\
            In d (all_slots (perform f o)).
Proof.
  intros f o s d (M & N & O). apply occupied_in in O. pose proof N as N'. apply unoccupied_in in N'.
  destruct o; inversion M; subst; simpl in *; unfold into in *; rewrite N in *;
    eauto 6 using derive_adds_kid, retype_adds_kid.
Qed.

(** A new cap descends from all that its source descends from. *)
Theorem what_is_made_descends : forall f o s d a, distinct f -> makes f o s d -> descends f a s ->
  descends (perform f o) a d.
Proof.
  intros f o s d a D M B. destruct (making M) as (g & E & _ & N & I). rewrite E in *.
  apply edits_add_below; auto.
Qed.

(** And from its source, if that is an original or an untyped. *)
Theorem kids_descend : forall f o s d, distinct f -> makes f o s d -> gives f s -> descends (perform f o) s d.
Proof.
  intros f o s d D M G. destruct (making M) as (g & E & A & N & I). rewrite E in *. apply edits_add_kid; auto.
Qed.

(** ** No copy outlives Revoke *)

(** What comes of the cap in the slot [a] of [f], wherever it is moved, and of what was made of it, and of that. After
    the operations, the cap itself is in [p] and one of its family in [d]. *)
Inductive family (f : forest) (a : slot) : list op -> slot -> slot -> Prop :=
| Self : family f a [] a a
| Before : forall d, descends f a d -> family f a [] a d
| Remains : forall ops o p d, family f a ops p d ->
    ~ gone (run f ops) o p -> ~ gone (run f ops) o d ->
    family f a (ops ++ [o]) (place (run f ops) o p) (place (run f ops) o d)
| Made : forall ops o p s d, family f a ops p s -> makes (run f ops) o s d ->
    s <> p \/ gives (run f ops) s -> family f a (ops ++ [o]) p d.

Lemma run_last : forall f ops o, run f (ops ++ [o]) = perform (run f ops) o.
Proof. intros. unfold run. apply fold_left_app. Qed.

(** After any number of steps the family of a cap is below it. *)
Theorem family_is_below : forall f a ops p d, distinct f -> family f a ops p d -> d = p \/ descends (run f ops) p d.
Proof.
  intros f a ops p d D H. induction H as [| d B | ops o p d H IH Gp Gd | ops o p s d H IH M G]; auto;
    rewrite run_last; pose proof (slots_are_distinct ops D) as E.
  - destruct IH as [-> | B]; auto. right. apply descent_survives; auto.
  - right. destruct (Nat.eq_dec s p) as [-> | N].
    + apply kids_descend; auto. tauto.
    + destruct IH as [-> | B]; [tauto |]. eapply what_is_made_descends; eauto.
Qed.

Lemma revoke_counts_less : forall s d t, below s d t -> count (edit revoke s t) d < count [t] d.
Proof.
  intros s d t. induction t as [s' o c kids IH] using tree_rect'. intros B. simpl.
  assert (A : forall k, count (edit revoke s k) d <= count [k] d).
  { intros k. pose proof (@edit_counts revoke s none (fun t _ x => revoke_counts t x) k d). unfold none in *. lia. }
  destruct (Nat.eqb_spec s s') as [E | E].
  - subst s'. assert (I : In d (all_slots kids)).
    { inversion B as [? ? ? H | ? ? ? ? H]; subst; auto. apply Exists_exists in H as (k & K & H).
      apply in_all_slots. eauto using descendant_is_there. }
    unfold revoke. simpl. rewrite !count_node, count_none. apply (count_occ_In Nat.eq_dec) in I. unfold count. lia.
  - rewrite !count_node. inversion B as [? ? ? H | ? ? ? ? H]; subst; [congruence |].
    cut (count (flat_map (edit revoke s) kids) d < count kids d); [lia |]. clear B E.
    induction kids as [| k kids IHk]; [inversion H |]. inversion IH as [| ? ? Hk Hl]; subst. simpl.
    rewrite count_app, (count_cons k kids d). specialize (A k) as Ak.
    inversion H as [? ? X | ? ? X]; subst; [specialize (Hk X) | specialize (IHk Hl X); lia].
    cut (count (flat_map (edit revoke s) kids) d <= count kids d); [lia |].
    pose proof (@edits_count revoke s none (fun t _ x => revoke_counts t x) kids d). unfold none in *. lia.
Qed.

(** Revoke destroys all that descends from the slot. *)
Theorem revoke_destroys_descendants : forall f s d, distinct f -> descends f s d ->
  occupied (perform f (Revoke s)) d = false.
Proof.
  intros f s d D B. apply unoccupied_in, absent_count. rewrite distinct_count in D. specialize (D d). simpl.
  cut (count (flat_map (edit revoke s) f) d < count f d); [lia |]. clear D.
  induction f as [| t f IH]; [inversion B |]. simpl. rewrite count_app, (count_cons t f d).
  pose proof (@edit_counts revoke s none (fun t _ x => revoke_counts t x) t d) as E.
  pose proof (@edits_count revoke s none (fun t _ x => revoke_counts t x) f d) as F. unfold none in E, F.
  inversion B as [? ? X | ? ? X]; subst; [apply revoke_counts_less in X; lia | specialize (IH X); lia].
Qed.

(** T5, for copies of copies, made and moved at any time. *)
Theorem no_copy_outlives_revoke : forall f a ops p d, distinct f -> family f a ops p d -> d <> p ->
  occupied (perform (run f ops) (Revoke p)) d = false.
Proof.
  intros f a ops p d D H N. apply revoke_destroys_descendants; [apply slots_are_distinct; auto |].
  destruct (family_is_below D H); tauto.
Qed.

(** A machine begins with one cap. *)
Theorem beginning_is_distinct : forall s b n, distinct [Node s true (Untyped b n 0) []].
Proof. intros. unfold distinct, all_slots. simpl. repeat constructor. auto. Qed.
