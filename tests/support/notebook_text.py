"""A notebook's text as data scientists write it: code, prose and outputs, full of numbers, hashes and the word token.

It holds nothing that should be redacted; what a detector finds in it is a false alarm.
"""

# ruff: noqa: E501 - lines as long as people write them

from __future__ import annotations

TEXT = r"""
# Churn model, round 3 (2024-05-17 09:41:07)
import hashlib, json, os, re, uuid
from pathlib import Path
import numpy as np, pandas as pd, seaborn as sns
import matplotlib.pyplot as plt
import torch, torch.nn as nn, torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import classification_report, roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold, train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from transformers import AutoModelForSequenceClassification, AutoTokenizer, TrainingArguments

!pip install "scikit-learn==1.5.0" "torch==2.3.0" "protobuf==4.25.3.1" "somepackage>=1.2.3.4,<2"
%env TOKENIZERS_PARALLELISM=false
%load_ext autoreload
SEED = 20240517
np.random.seed(SEED); torch.manual_seed(SEED)
DATA = Path("data/raw/customers_2023/train-features_v2.parquet")
REVISION = "d6f4b1c2a3e5978811223344556677889900aabb"
EXPECTED_SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
assert hashlib.sha256(DATA.read_bytes()).hexdigest() == EXPECTED_SHA256
run_id = "0b1c2d3e-4f56-7890-abcd-ef0123456789"
md5 = {"train.csv": "5d41402abc4b2a76b9719d911017c592", "test.csv": "7d793037a0760186574b0282f2f435e7"}

df = pd.read_parquet(DATA, columns=["customer_id", "tenure_months", "monthly_charge", "total_charge", "churned"])
df["customer_id"] = df["customer_id"].astype("int64")
df["signup"] = pd.to_datetime(df["signup"], format="%Y-%m-%d %H:%M:%S")
df = df[(df["signup"] >= "2019-01-01") & (df["signup"] < "2024-04-30 23:59:59.999999")]
df.loc[df["tenure_months"] < 0, "tenure_months"] = np.nan
df["log_charge"] = np.log1p(df["total_charge"].fillna(0.0))
df.groupby(["region", pd.Grouper(key="signup", freq="MS")])["churned"].agg(["mean", "count", "std"]).unstack(0)

#    customer_id  tenure_months  monthly_charge  total_charge  churned
# 0  10000000001             12       29.850000     29.850000        0
# 1  10000000002             34       56.950000   1889.500000        0
# 2  10000000003              2       53.850000    108.150000        1
# 3  4000001234567890         45       42.300000   1840.750000        0
# count  7043.000000  32.371149  64.761692  2279.734304
# [[0.8231 0.1769] [0.4013 0.5987] [-1.2345678 +2.3456789]]  1.2345e-05 3.4e+10 1e-08
# 1715938867 1715938867123 1715938867123456789 9007199254740993 3.141592653589793

X = df.drop(columns=["churned"]); y = df["churned"].to_numpy()
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, stratify=y, random_state=SEED)
numeric = X.select_dtypes("number").columns.tolist(); categorical = X.select_dtypes("object").columns.tolist()
prepare = ColumnTransformer([("num", StandardScaler(), numeric), ("cat", OneHotEncoder(handle_unknown="ignore"), categorical)])
grid = {"model__n_estimators": [100, 200, 400], "model__learning_rate": [0.01, 0.05, 0.1], "model__max_depth": [2, 3, 5]}
model = Pipeline([("prepare", prepare), ("model", GradientBoostingClassifier(random_state=SEED))])
search = GridSearchCV(model, grid, cv=StratifiedKFold(5, shuffle=True, random_state=0), scoring="roc_auc", n_jobs=-1)
search.fit(X_train, y_train)
print(f"{search.best_score_:.4f}", search.best_params_, roc_auc_score(y_test, search.predict_proba(X_test)[:, 1]))
print(classification_report(y_test, search.predict(X_test), digits=3))
#               precision    recall  f1-score   support
#            0      0.841     0.902     0.870      1035
#            1      0.662     0.527     0.587       374
#     accuracy                          0.802      1409

W = torch.randn(64, 32, device="cuda:0"); b = torch.zeros(64); x = torch.randn(128, 32)
h = x@W.T + b
g = (h@h.mT).mean(); k = W@W.sum(0)
class Net(nn.Module):
    def __init__(self, d_in: int, d_hidden: int = 256, p: float = 0.1) -> None:
        super().__init__()
        self.key = nn.Linear(d_in, d_hidden); self.query = nn.Linear(d_in, d_hidden); self.value = nn.Linear(d_in, d_hidden)
        self.out = nn.Sequential(nn.LayerNorm(d_hidden), nn.GELU(), nn.Dropout(p), nn.Linear(d_hidden, 2))
    @torch.no_grad()
    def attend(self, q, k, v, key_padding_mask=None):
        scores = q @ k.transpose(-2, -1) / k.shape[-1] ** 0.5
        if key_padding_mask is not None: scores = scores.masked_fill(key_padding_mask[:, None], float("-inf"))
        return F.softmax(scores, dim=-1) @ v

tokenizer = AutoTokenizer.from_pretrained("distilbert/distilbert-base-uncased-finetuned-sst-2-english", revision=REVISION)
tokenizer.pad_token = tokenizer.eos_token
tokens = tokenizer(texts, padding=True, truncation=True, max_length=512, return_tensors="pt")
special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "mask_token": "[MASK]", "pad_token_id": 0}
max_new_tokens, num_tokens, token_type_ids = 256, tokens["input_ids"].numel(), tokens.get("token_type_ids")
llm = AutoModelForSequenceClassification.from_pretrained("meta-llama/Llama-3.1-8B-Instruct", key="value", token=None)
arguments = TrainingArguments(output_dir="outputs/run_2024-05-17_09-41-07", learning_rate=5e-5, save_total_limit=2)
api_key = os.environ["OPENAI_API_KEY"]
password = os.getenv("DB_PASSWORD")
engine = create_engine(f"postgresql://{user}:{password}@{host}:5432/churn")
connect(user=user, password=password, host="localhost", port=5432, token=get_token())
def login(user: str, password: str, token: str | None = None, api_key: Optional[str] = None) -> Session: ...
secret = getpass.getpass("Password: ")
headers = {"Authorization": f"Bearer {token}", "X-API-Key": api_key, "Accept": "application/json"}
help_texts = {"password": "Enter your password", "secret_name": "prod/churn/db", "password_field": "#pw"}
primary_key = "customer_id"; sort_key = "signup"; key = "tenure_months"; keys = ["a", "b"]
for key, value in sorted(params.items(), key=lambda pair: pair[1]): print(key, value)
html = '<img src="data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==">'
colors = ["#1f77b4", "#ff7f0e", "#2ca02c", "#d62728"]; palette = sns.color_palette("husl", 8)
fig, axes = plt.subplots(2, 3, figsize=(12.5, 7.25), dpi=150); axes[0, 0].hist(df["log_charge"].dropna(), bins=50)
x = a[10:20:2]; y = a[::2]; z = a[1::3, ::-1]; t = "12:30:45"; u = "00:1A:2B:3C:4D:5E"; std::vector<int> v;
server = "http://localhost:8888/lab?reset"; bind = "0.0.0.0"; loopback = "127.0.0.1:5000"; mask = "255.255.255.0"
__version__ = "10.20.30.40"; agent = "Mozilla/5.0 Chrome/120.0.6099.109 Safari/537.36"
re.sub(r"(\d{3})-(\d{4})", r"\1 \2", s); ranges = ["2023-2024", "1990-1999", "10-20", "100-200-300"]
git log --oneline: e64c1b5 The parts that the router's next steps share; see commit 4092204f6a1b2c3d4e5f60718293a4b5c6d7e8f9
Epoch 12/50  loss=0.3412  val_loss=0.3987  acc=0.8563  lr=1.25e-04  [1203/1203 00:41<00:00, 28.77it/s]
CUDA memory: 11019 MiB / 24564 MiB; 2.1.0+cu121; Driver 535.129.03; 8/8 [==============================] - 1s 142ms/step
GPU 0: id 00000000:3B:00.0, job 0001234567, order 100-2003-4412, ISBN 978-3-16-148410-0, doi:10.1038/s41586-020-2649-2
Section 1.2.3.4 says that the token is the smallest unit; the key of the dictionary is the secret of its speed.
The password must have at least 12 characters. Basic authentication is fine. @dataclass @pytest.mark.parametrize
array([ 1,  2,  3,  4,  5,  6,  7,  8,  9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24])
tensor([[ 0.1234, -1.5678,  2.9012], [ 3.3456, -0.7890,  0.1122]], device='cuda:0', grad_fn=<AddmmBackward0>)
[5.1 3.5 1.4 0.2] [4.9 3.  1.4 0.2] 0.0 1.0 100 200 300 4000 50000 600000 7000000 80000000 900000000
0 1 2 3 4 5 6 7 8 9 01 02 03 04 05 06 07 08 09 10 11 12 1001 2002 3003 4004 5005 6006 7007 8008
""".strip()


def text(size: int) -> str:
    """Return ``size`` characters of notebooks."""
    return (TEXT + "\n\n") * (size // len(TEXT)) + TEXT[: size % len(TEXT)]
