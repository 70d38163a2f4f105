" Written by editors/highlighting.py
if exists("b:current_syntax") | finish | endif

syntax match weftCall /\<\h\w*\ze(/
syntax match weftOperation /\<\%(abs\|accuracy\|adaptive_avg_pool\|adaptive_max_pool\|add\|arange\|argmax\|argmin\|attention\|avg_pool\|batch_norm\|bce\|bidirectional\|bits\|blend\|bounded\|cast\|ceil\|celu\|center_crop\|channel_dropout\|channel_shuffle\|clamp\|concat\|conv\|conv_transpose\|convolve\|convolve_transpose\|cos\|cross_entropy\|cumprod\|cumsum\|delay\|dice_loss\|divides\|dropout\|elu\|embedding\|erf\|exp\|expand\|flatten\|flip\|floor\|focal\|fold\|full\|geglu\|gelu\|global_avg_pool\|global_max_pool\|glu\|group_norm\|gru\|gru_cell\|hardshrink\|hardsigmoid\|hardswish\|hardtanh\|huber\|identity\|instance_norm\|is_integer\|layer_norm\|leaky_relu\|learned_positions\|len\|linear\|linspace\|local_response_norm\|locked_dropout\|log\|log_softmax\|logsigmoid\|logsumexp\|lstm\|lstm_cell\|mae\|matmul\|max\|max_pool\|max_unpool\|maximum\|maxout\|mean\|middle\|min\|minimum\|mish\|moe\|mse\|mul\|normal\|numbers\|one_hot\|ones\|pad\|patchify\|per_axis\|perplexity\|pixel_shuffle\|pixel_unshuffle\|position\|pow\|randint\|range\|rank\|rearrange\|reciprocal\|relu\|relu6\|repeat_pixels\|require\|reshape\|resize\|rms_norm\|rnn\|rnn_cell\|rope\|round\|rsqrt\|running\|scan\|selu\|separable_conv\|shape\|sigmoid\|sign\|silu\|sin\|sinusoidal\|sinusoidal_positions\|size\|softmax\|softplus\|softshrink\|softsign\|split\|sqrt\|square\|squeeze\|squeeze_excite\|stack\|standardised_conv\|std\|stochastic_depth\|stop_gradient\|stretch\|sum\|swiglu\|take\|tan\|tanh\|tanhshrink\|transpose\|unfold\|uniform\|unsqueeze\|upsample\|var\|where\|window_sum\|zeros\)\>/
syntax match weftTraining /\<\%(adagrad\|adam\|adamw\|buffer\|cifar10\|cifar100\|constant\|cosine\|cosine_restarts\|crowds\|csv\|curves\|digits\|exponential\|function\|idx\|image\|images\|inverse_sqrt\|kaiming_normal\|kaiming_uniform\|lbfgs\|lecun_normal\|lecun_uniform\|lion\|mnist\|npy\|npz\|one_cycle\|orthogonal\|pairs\|patience\|plateau\|polynomial\|pytorch_attention\|pytorch_conv\|pytorch_embedding\|pytorch_gru\|pytorch_linear\|pytorch_lstm\|rmsprop\|segmentation\|sequences\|sgd\|stdlib\|step_decay\|text\|tokens\|truncated_normal\|tsv\|xavier_normal\|xavier_uniform\)\>/
syntax match weftType /\<\%(f16\|bf16\|f32\|f64\|i32\|i64\|bool\|any\)\>/
syntax match weftStatement /\<\%(block\|data\|default\|import\|in\|let\|metric\|net\|out\|param\|step\|train\|updates\|variant\)\>/
syntax match weftStatement /\<\%(weight\)\ze\s\+\h\w*\s*:/
syntax match weftControl /\<\%(residual\|branch\|repeat\|as\|for\|if\|else\)\>/
syntax match weftLogic /\<\%(and\|or\|not\)\>/
syntax match weftConstant /\<\%(true\|false\)\>/
syntax match weftMember /\w\@<=\.\zs\h\w*/
syntax match weftSetting /\<\h\w*\ze\s*==\@!/
syntax match weftNumber /\<\d\+\%(\.\d\+\)\?\%([eE][+-]\?\d\+\)\?\>/
syntax match weftArrow /->/
syntax region weftString start=/"/ skip=/\\./ end=/"/ oneline
syntax match weftComment /#.*$/ contains=weftTodo,@Spell
syntax keyword weftTodo TODO FIXME contained

highlight default link weftCall Function
highlight default link weftOperation Function
highlight default link weftTraining Identifier
highlight default link weftType Type
highlight default link weftStatement Statement
highlight default link weftControl Conditional
highlight default link weftLogic Operator
highlight default link weftConstant Boolean
highlight default link weftMember Identifier
highlight default link weftSetting Identifier
highlight default link weftNumber Number
highlight default link weftArrow Operator
highlight default link weftString String
highlight default link weftComment Comment
highlight default link weftTodo Todo

let b:current_syntax = "weft"
