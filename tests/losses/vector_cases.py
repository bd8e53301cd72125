"""Which objective, at what hyper-parameters, each of the shared vectors is of."""

PAIRS = {
    "dpo": ("dpo", {"beta": 0.1}),
    "dove": ("dove", {"beta": 0.1, "prompt": "none"}),
    "sapo_dpo": ("dpo", {"beta": 0.1}),
    "ipo_sum": ("ipo", {"tau": 0.1, "aggregate": "sum"}),
    "ipo_tokenmean": ("ipo", {"tau": 0.1, "aggregate": "mean"}),
    "slic_calibration": ("slic", {"delta": 1.0}),
    "slic_hf": ("slic", {"delta": 1.0, "lam": 0.1}),
    "slic_calibration_lennorm": ("slic", {"delta": 1.0, "aggregate": "mean"}),
    "rso_hinge_norm": ("rso_hinge", {"gamma": 0.5}),
    "rso_sigmoid_norm": ("dpo", {"beta": 0.05}),
    "cdpo": ("cdpo", {"beta": 0.1, "epsilon": 0.1}),
    "rdpo": ("rdpo", {"beta": 0.1, "epsilon": 0.1}),
    "dpop": ("dpop", {"beta": 0.3, "lam": 5.0}),
    "rpo_sum": ("rpo", {"beta": 0.1, "eta": 0.005, "normalization": "sum_beta"}),
    "rpo_mean": ("rpo", {"beta": 0.5, "eta": 0.2, "normalization": "mean"}),
    "ln_dpo": ("ln_dpo", {"beta": 2.0}),
    "simpo": ("simpo", {"beta": 2.0, "gamma": 1.0}),
    "r_dpo": ("r_dpo", {"beta": 0.1, "alpha": 0.02}),
    "ilr_dpo": ("r_dpo", {"beta": 0.1, "alpha": 0.02}),
    "minor_dpo": ("minor_dpo", {"beta": 0.1}),
    "flex_dpo": ("flex_dpo", {"beta_plus": 0.1, "beta_minus": 0.05}),
    "orpo_or_term": ("orpo", {"lam": 0.1, "nll": "none"}),
    "orpo_full": ("orpo", {"lam": 0.1, "nll": "seq_mean"}),
    "cpo_pref": ("cpo", {"beta": 0.1, "nll": "none"}),
    "cpo_sum_nll": ("cpo", {"beta": 0.1, "alpha": 1.0, "nll": "seq_sum"}),
    "cpo_mean_nll": ("cpo", {"beta": 0.1, "alpha": 1.0, "nll": "seq_mean"}),
    "osp_spce": ("osp", {"beta": 0.1}),
    "mrpo_fixed_alpha": ("mrpo", {"beta": 0.1, "alpha": 0.5, "epsilon": None}),
    "mrpo_adaptive_alpha": ("mrpo", {"beta": 0.1, "alpha": "adaptive", "epsilon": None}),
    "mrpo_adaptive_clip": ("mrpo", {"beta": 0.1, "alpha": "adaptive", "epsilon": 0.1}),
    "mrpo_released_code": ("mrpo", {"beta": 0.1, "alpha": "adaptive", "epsilon": 0.1, "crossed": True}),
    "exo_pair": ("exo", {"beta": 0.1, "epsilon": 0.001}),
    "nca_pair": ("nca", {"beta": 0.1}),
    "apo_zero": ("apo_zero", {"beta": 0.1}),
    "apo_down": ("apo_down", {"beta": 0.1}),
    "discopop": ("discopop", {"beta": 0.05, "tau": 0.05}),
    "sppo_hard": ("sppo", {"beta": 0.1, "hard": True, "aggregate": "sum"}),
    "sppo_soft": ("sppo", {"beta": 0.1}),
    "gpo_score": ("gpo", {"beta": 0.1}),
    "chi_po": ("chi_po", {"beta": 0.1, "clip": 2.0}),
    "f_dpo_forward_kl": ("f_dpo", {"beta": 0.1, "divergence": "forward_kl"}),
    "f_dpo_js": ("f_dpo", {"beta": 0.1, "divergence": "js"}),
    "f_dpo_alpha": ("f_dpo", {"beta": 0.1, "divergence": "alpha", "alpha": 0.5}),
    "cal_dpo_paper": ("cal_dpo", {"beta": 0.1}),
    "cal_dpo_code": ("cal_dpo", {"beta": 0.1, "calib_weight": 0.5}),
    "rainbowpo": ("rainbow_po", {"beta": 10.0, "gamma": 0.1, "alpha": 0.25, "c": 0.29}),
}
TOKENS = {
    "token_dpo": ("dpo", {"beta": 0.1}),
    "tdpo1": ("tdpo1", {"beta": 0.1}),
    "tdpo2": ("tdpo2", {"beta": 0.1, "alpha": 0.5}),
    "ld_dpo": ("ld_dpo", {"beta": 0.1, "alpha": 0.5}),
    "wpo": ("wpo", {"beta": 0.1, "clamp_max": None}),
    "wpo_clamped": ("wpo", {"beta": 0.1, "clamp_max": 1.0}),
    "wpo_raw": ("wpo", {"beta": 0.1, "clamp_max": None, "normalizer": False}),
}
LISTS = {
    "lipo_lambda": ("lipo_lambda", {"beta": 0.5}),
    "lipo_lambda_pairmean": ("lipo_lambda", {"beta": 0.5, "pair_mean": True}),
    "lipo_pair_logistic": ("lipo_pair_logistic", {"beta": 0.5}),
    "lipo_pair_hinge": ("lipo_pair_hinge", {"beta": 0.5}),
    "lipo_point_mse": ("lipo_point_mse", {"beta": 0.5}),
    "lipo_point_sigmoid": ("lipo_point_sigmoid", {"beta": 0.5}),
    "lipo_softmax": ("lipo_softmax", {"beta": 0.5}),
    "lipo_list_mle": ("list_mle", {"beta": 0.5}),
    "plackett_luce_dpo": ("list_mle", {"beta": 0.5}),
    "infonca": ("info_nca", {"beta": 0.5, "alpha": 0.5}),
    "nca_list": ("nca_list", {"beta": 0.5, "alpha": 0.5}),
    "exo_rw": ("exo_list", {"beta": 0.5, "beta_r": 0.5}),
    "pro_plain": ("pro", {"sft_weight": 0.0, "temperature": "none"}),
    "pro_reward_temp": ("pro", {"sft_weight": 0.0}),
    "pro_reward_temp_sft": ("pro", {"sft_weight": 0.05}),
}
NEWER = {"hybrid_dpo", "alpha_po", "simper", "conf_po"}
"""Objectives whose vectors are whole steps of lists."""
POLICY_GRADIENT = {"cispo", "dapo", "dr_grpo", "grpo", "gspo", "ppo", "reinforce_pp", "rloo", "xpo"}
"""Objectives on drawn lists (`test_policy_gradient_vectors.py`)."""
OTHERS = {"aot", "aot_unpaired", "bco", "d2o", "dove", "kto", "mm_dpo", "rationale_dpo", "tpo_tree"}
"""Objectives whose vectors have tests of their own."""
HELD = (
    OTHERS
    | NEWER
    | POLICY_GRADIENT
    | {name for table in (PAIRS, TOKENS, LISTS) for name, _ in table.values()}
)
"""Every objective whose values and gradients the vectors hold."""
