import numpy as np
from madminer.likelihood import *
from iminuit import Minuit
from madminer.likelihood.fit import first_steps
from madminer.ml import ParameterizedRatioEstimator
D=np.array([.6,.8])
def test_x(moved_gaussian_file):
    rng = np.random.default_rng(6)
    x, theta = rng.normal(size=(20000, 2)), rng.normal(scale=0.3, size=(20000, 4))
    log_r = 2.0 * np.sum(theta[:, :2] * x, axis=1) + 0.3 * theta[:, 2] * (x @ D)-.5*np.sum(2*theta[:,:2]+.3*theta[:,2:3]*D,axis=1)**2
    s = ParameterizedRatioEstimator(n_hidden=(20,))
    y = rng.integers(0, 2, 20000)
    s.train("alice", x, y, theta, np.exp(log_r), n_epochs=8, initial_lr=0.01, seed=1,verbose="none")
    for N in (1e3,1e5,1e7):
      l = NeuralLikelihood(moved_gaussian_file(2000)).create_negative_log_likelihood(s, x[:3000], N, luminosity=N)
      for tol in (0.1,1e-2,1e-3):
       for prec in (None,1e-7,1e-9):
        for st in (np.zeros(4), np.array([.05,.05,.3,.3])):
            m=Minuit(l,st,grad=l.gradient,name=l.names); m.errordef=0.5; m.tol=tol
            if prec: m.precision=prec
            m.errors=first_steps(st,l.expand(st[None]).curvature[0]); m.migrad(); f=m.fmin
            v=np.array(m.values)
            H=l.expand(v[None]).curvature[0]; g=l.gradient(v)
            m.hesse()
            print(N,tol,prec,f.is_valid,f.edm,'true edm',.5*g@np.linalg.solve(H,g),f.has_reached_call_limit,f.is_above_max_edm,m.nfcn, v.round(3), 'err ratio', np.round(np.array(m.errors)/np.sqrt(np.diag(np.linalg.inv(H))),3), m.valid,m.fmin.edm)
    assert 0
